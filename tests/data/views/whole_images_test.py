"""Annotations of every way of making a view: what is drawn is where they say, to a part of a pixel.

Images are ramps: red is 2 x the row and green 2 x the column, so that a view says of each of its
pixels which place of the image it shows.
"""

import functools

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.batches import batches
from m3i_jax.data.epoch import epoch
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.annotated import UNKNOWN, Wanted, seen, whole
from m3i_jax.data.views.crops import Crops, center_crop
from m3i_jax.data.views.whole_images import fitted, kept_ratio, padded, restored, stretched

CELL = 5  # pixels of a category, high and wide
SHAPES = ((96, 120), (125, 64), (101, 101))
WANTED = Wanted(["mask", "box", "depth", "points"], points=60)


class Ramps:
    """Ramps with a mask of cells, a depth that is the column, and key points anywhere."""

    name, classes = "ramps", ()

    def __len__(self):
        return len(SHAPES)

    def __getitem__(self, index):
        height, width = SHAPES[index]
        rows, columns = np.indices((height, width))
        image = np.stack([2 * rows, 2 * columns, 0 * rows], -1).astype(np.uint8)
        mask = (7 * (rows // CELL) + columns // CELL).astype(np.uint8) % 200
        places = np.random.default_rng(index).uniform(0, (height, width), (WANTED.points, 2))
        points = np.append(places, np.full((WANTED.points, 1), 2), 1).astype(np.float32)
        box = np.array([20, 15, 40, 30], np.float32)
        return Sample(image, index, "", mask, box, columns.astype(np.float32) + 1, points)


def place(view, points):
    """(K, 2) rows and columns of the image that a view shows at its (K, 2) places, and which of
    them are so far from edges that a filter met nothing else."""
    low = np.floor(points[:, :2] - 0.5).astype(int)
    inside = ((low >= 3) & (low < np.array(view.shape[:2]) - 4)).all(1)
    part, low = points[inside, :2] - 0.5 - low[inside], low[inside]
    shown = 0.0
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - part[:, :1]) * np.abs(1 - right - part[:, 1:])
            shown = shown + share * view[low[:, 0] + down, low[:, 1] + right, :2]
    return shown / 2 + 0.5, inside


def agrees(view, said, row):
    """How many landmarks of a view were compared, all of which are where annotations say."""
    sample = Ramps()[int(row)]
    shown, inside = place(view, said.points)
    np.testing.assert_allclose(shown, sample.points[inside, :2], atol=0.3)
    assert (said.points[inside, 2] == 2).all()
    edge = ((said.points[:, :2] < 0) | (said.points[:, :2] > view.shape[0])).any(1)
    np.testing.assert_array_equal(said.points[:, 2], np.where(edge, 0, 2))
    assert set(np.unique(said.mask)) <= {*np.unique(sample.mask), UNKNOWN}
    np.testing.assert_array_equal(said.mask == UNKNOWN, said.depth == 0)
    at = view[..., :2] / 2  # of the image, middles of pixels being whole numbers
    cells = np.minimum((at + 0.5) // CELL, (np.array(sample.mask.shape) - 1) // CELL)
    clear = (np.abs((at + 0.5) / CELL % 1 - 0.5) < 0.35).all(-1) & (said.mask != UNKNOWN)
    clear[:3], clear[-3:], clear[:, :3], clear[:, -3:] = False, False, False, False
    categories = (7 * cells[..., 0] + cells[..., 1]) % 200
    clear &= ~near(said.mask == UNKNOWN)  # black beside the image is in what filters meet
    np.testing.assert_array_equal(said.mask[clear], categories[clear])
    np.testing.assert_allclose(said.depth[clear], at[..., 1][clear] + 1, atol=1.2)
    return int(inside.sum())


def near(beside):
    shifts = [(down, right) for down in range(-3, 4) for right in range(-3, 4)]
    return np.any([np.roll(beside, shift, (0, 1)) for shift in shifts], axis=0)


@pytest.mark.parametrize("resize", ["exact", "fast", "aliased"])
def test_landmarks_of_training_views(resize):
    if resize != "exact":
        pytest.importorskip({"fast": "cykooz_resizer", "aliased": "cv2"}[resize])
    crops = Crops(size=80, scale=(0.2, 1.0), local=1, local_size=48, resize=resize)
    options = dict(batch=3, seed=5, crops=crops, annotations=WANTED, threads=1)
    compared, mirrored = 0, 0.0
    with batches(Ramps(), **options) as stream:
        for _ in range(8):
            batch, _ = next(stream)
            for name, views in batch.images.items():
                mirrored += batch.boxes[name][:, 4].sum()
                for n, view in enumerate(views):
                    said = batch.annotations[name]
                    row = said._replace(**{k: getattr(said, k)[n] for k in WANTED.names})
                    compared += agrees(view, row, batch.label[n])
                    assert row.box[:2].min() >= 0
                    assert (row.box[:2] + row.box[2:]).max() <= len(view)
    assert compared > 1000 and 10 < mirrored < 62


@pytest.mark.parametrize(
    "cut", [center_crop, functools.partial(center_crop, ratio=1.0), stretched, padded]
)
def test_landmarks_of_evaluation_views(cut):
    (rows,) = epoch(Ramps(), batch=3, size=64, cut=cut, annotations=WANTED)
    said, views = rows.batch.annotations["a"], rows.batch.images["a"]
    for n, view in enumerate(views):
        row = said._replace(**{name: getattr(said, name)[n] for name in WANTED.names})
        assert agrees(view, row, n) > 15
    unknown = (said.mask == UNKNOWN).mean((1, 2))
    padding = [1 - min(shape) / max(shape) for shape in SHAPES] if cut is padded else 0
    np.testing.assert_allclose(unknown, padding, atol=0.01)
    if cut in (stretched, padded):  # all of each image is seen
        assert (said.points[..., 2] == 2).all()
        scale = np.array([64 / (h if cut is stretched else max(h, w)) for h, w in SHAPES])
        np.testing.assert_allclose(said.box[:, 2], 40 * scale, rtol=0.02)


def test_what_the_whole_of_an_image_looks_like():
    image = np.full((10, 30, 3), 200, np.uint8)
    view, box = padded(image, size=60)
    assert (view[:20] == 200).all() and not view[20:].any()
    assert box.tolist() == [0, 0, 30, 30, 0, 30]
    view, box = stretched(image, size=60)
    assert (view == 200).all() and box.tolist() == [0, 0, 10, 30, 0, 30]
    assert padded(np.zeros((1, 900, 3), np.uint8), size=30)[0].shape == (30, 30, 3)


@pytest.mark.parametrize("base, multiple", [((64, 48), 16), ((200, 150), 1), (None, 32)])
def test_the_ratio_is_kept_and_predictions_go_back_to_the_image(base, multiple):
    for shape, index in zip(SHAPES, range(3), strict=True):
        sample = Ramps()[index]
        view, box = kept_ratio(sample.image, base=base, multiple=multiple)
        tall, wide = view.shape[:2]
        assert tall % multiple == wide % multiple == 0
        said = seen(Annotations(sample.mask), box, (tall, wide)).mask
        real = np.argwhere(said != UNKNOWN).max(0) + 1  # the part that shows the image
        gain = min(max(base) / max(shape), min(base) / min(shape)) if base else 1
        assert np.abs(real - np.array(shape) * gain).max() <= 0.5
        assert ((np.array([tall, wide]) - real) < multiple).all()
        back = restored(
            view[..., :2], box, shape
        )  # the view says where it is: so does what is back
        inside = slice(4, -4)
        rows, columns = np.indices(shape)
        found = back[inside, inside]
        np.testing.assert_allclose(found[..., 0] / 2, rows[inside, inside], atol=1)
        np.testing.assert_allclose(found[..., 1] / 2, columns[inside, inside], atol=1)


def test_restored_is_pillows_bilinear_filter_and_knows_mirrors_and_parts():
    values = np.random.default_rng(0).normal(size=(7, 9, 2)).astype(np.float32)
    planes = [
        np.asarray(Image.fromarray(plane).resize((30, 20), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(values, -1, 0)
    ]
    np.testing.assert_allclose(
        restored(values, whole(20, 30), (20, 30)), np.stack(planes, -1), atol=1e-5
    )
    mirror = restored(values, whole(20, 30, mirrored=True), (20, 30))
    np.testing.assert_allclose(mirror[:, ::-1], np.stack(planes, -1), atol=1e-5)
    # Cells that show nothing of the image, on the right and below, are of no account.
    more = np.pad(values, ((0, 3), (0, 2), (0, 0)), constant_values=np.nan)
    box = np.array([0, 0, 20 * 10 / 7, 30 * 11 / 9, 0, 30], np.float32)
    np.testing.assert_allclose(restored(more, box, (20, 30)), np.stack(planes, -1), atol=1e-4)
    categories = restored(values[..., 0], whole(20, 30), (20, 30))
    assert categories.shape == (20, 30)


def test_an_image_that_does_not_fit_is_refused():
    image = np.zeros((20, 30, 3), np.uint8)
    assert kept_ratio(image, base=None, size=(32, 32))[0].shape == (32, 32, 3)
    with pytest.raises(ValueError, match=r"resized to \(20, 30\) does not fit into \(16, 32\)"):
        kept_ratio(image, base=None, size=(16, 32))


@pytest.mark.parametrize("shape", [(96, 120), (40, 200), (64, 64)])
def test_a_fitted_view_shows_all_of_an_image_and_its_box_says_where(shape):
    image = np.full((*shape, 3), 255, np.uint8)
    view, box = fitted(image, size=(48, 64), fill=(0, 0, 0))
    gain = min(48 / shape[0], 64 / shape[1])
    seen = (view[..., 0] == 255).any(1).sum(), (view[..., 0] == 255).any(0).sum()
    np.testing.assert_allclose(seen, [side * gain for side in shape], atol=0.5)
    assert (view[seen[0] :] == 0).all() and (view[:, seen[1] :] == 0).all()
    # What is image in the view, in pixels of the view, is the image.
    np.testing.assert_allclose(np.multiply(box[2:4], seen) / (48, 64), shape, rtol=1e-6)
    assert box[5] == shape[1] and not box[[0, 1, 4]].any()
