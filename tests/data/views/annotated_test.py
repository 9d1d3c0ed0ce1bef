"""Annotations of views: landmarks stay where the pixels are that they name."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import outlines
from m3i_jax.data.sources.annotations import NONE, Annotations
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.data.sources.skeletons import STROKES
from m3i_jax.data.views import scale_jitter
from m3i_jax.data.views.annotated import UNKNOWN, Wanted, carried, resized, seen, whole
from m3i_jax.data.views.crops import center_crop, random_resized_crop

MARKS = ((9, 11), (30, 71), (52, 40))  # row, column of the first pixels of squares of 8
SIDE = 8


def scene():
    """(64, 96, 3): black, with a square of one colour for each mark; and what is said of it."""
    image = np.zeros((64, 96, 3), np.uint8)
    mask = np.zeros((64, 96), np.uint8)
    for n, (row, column) in enumerate(MARKS):
        image[row : row + SIDE, column : column + SIDE, n] = 255
        mask[row : row + SIDE, column : column + SIDE] = n + 1
    points = [[row + SIDE / 2, column + SIDE / 2, 2] for row, column in MARKS]
    box = np.array([*MARKS[1], SIDE, SIDE], np.float32)
    depth = mask.astype(np.float32) * 1.5
    return image, Annotations(mask, box, depth, np.array(points, np.float32))


def middle(view, channel):
    """Where the square of this colour is in a view: (row, column), weighed by its brightness."""
    weight = view[..., channel].astype(np.float64)
    rows, columns = np.indices(weight.shape) + 0.5
    return np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()


@pytest.mark.parametrize("seed", range(12))
def test_landmarks_are_where_their_pixels_are(seed):
    image, said = scene()
    rng = np.random.default_rng(seed)
    view, box = random_resized_crop(
        image, rng, size=160, scale=(0.3, 1.0), interpolation="bilinear"
    )
    found = seen(said, box, (160, 160))
    scale = 160 / box[2:4]  # of a pixel of the image, rows and columns
    for n, (row, column, visible) in enumerate(found.points):
        margin = SIDE / 2 * scale
        place = np.array([row, column])
        if ((place > margin) & (place < 160 - margin)).all():  # all of the square is in the view
            assert visible == 2
            np.testing.assert_allclose(middle(view, n), place, atol=0.35)
    outside = ((found.points[:, :2] < 0) | (found.points[:, :2] > 160)).any(1)
    assert (found.points[outside, 2] == 0).all() and (found.points[~outside, 2] == 2).all()
    bright = view.argmax(-1) + 1
    clear = view.max(-1) > 250  # no pixels between two colours
    assert (found.mask[clear] == bright[clear]).all()
    np.testing.assert_array_equal(found.depth, found.mask * np.float32(1.5))
    there = np.argwhere(found.mask == 2)
    if found.box is None:
        assert not len(there)
    else:
        top, left, height, width = found.box
        edges = [*there.min(0), *there.max(0) + 1]
        np.testing.assert_allclose(edges, [top, left, top + height, left + width], atol=0.51)


def test_masks_of_cuts_are_pillows_nearest_ones():
    mask = np.random.default_rng(0).integers(0, 9, (61, 47), dtype=np.uint8)
    for top, left, height, width in ((0, 0, 61, 47), (3, 5, 40, 31), (60, 46, 1, 1)):
        part = Image.fromarray(mask).crop((left, top, left + width, top + height))
        box = np.array([top, left, height, width, 0, 47], np.float32)
        for size in ((64, 64), (17, 23)):
            pillow = np.asarray(part.resize(size[::-1], Image.Resampling.NEAREST))
            np.testing.assert_array_equal(seen(Annotations(mask), box, size).mask, pillow)
    mirror = seen(Annotations(mask), whole(61, 47, mirrored=True), (61, 47)).mask
    np.testing.assert_array_equal(mirror, mask[:, ::-1])


def test_left_and_right_change_places_in_a_mirror_image():
    points = np.array([[10, 20, 2], [10, 30, 1], [40, 25, 2], [0, 0, 0]], np.float32)
    said = Annotations(points=points)
    plain = seen(said, whole(50, 60), (50, 60), swapped=[(0, 1)])
    np.testing.assert_array_equal(plain.points, points)
    mirrored = seen(said, whole(50, 60, mirrored=True), (50, 60), swapped=[(0, 1)]).points
    np.testing.assert_array_equal(mirrored[:3], [[10, 30, 1], [10, 40, 2], [40, 35, 2]])
    again = seen(
        Annotations(points=mirrored), whole(50, 60, mirrored=True), (50, 60), swapped=[(0, 1)]
    )
    np.testing.assert_array_equal(again.points, points)


def test_the_evaluation_view():
    image, said = scene()
    view, box = center_crop(image, size=128, ratio=1.0)
    found = seen(said, box, (128, 128))
    np.testing.assert_allclose(middle(view, 2), found.points[2, :2], atol=0.35)
    assert found.points[1, 2] == 2 and found.points[0, 2] == 0  # the first is left of the middle


def test_a_box_is_cut_off_and_none_where_it_is_not_seen():
    said = Annotations(box=np.array([10, 10, 20, 20], np.float32))
    half = seen(said, np.array([0, 20, 40, 40, 0, 60], np.float32), (80, 80)).box
    np.testing.assert_array_equal(half, [20, 0, 40, 20])
    assert seen(said, np.array([0, 30, 40, 30, 0, 60], np.float32), (80, 80)).box is None
    assert seen(NONE, whole(3, 4), (2, 2)) == NONE


def test_a_resized_image_takes_them_along():
    mask = np.kron(np.array([[0, 3], [7, 0]], np.uint8), np.ones((10, 20), np.uint8))
    box = np.array([2, 4, 10, 20], np.float32)
    points = np.array([[20, 40, 2], [1, 2, 0]], np.float32)
    small = resized(Annotations(mask, box, mask / np.float32(2), points), (20, 40), (10, 10))
    np.testing.assert_array_equal(small.mask, np.kron([[0, 3], [7, 0]], np.ones((5, 5))))
    np.testing.assert_array_equal(small.depth, small.mask / 2)
    np.testing.assert_array_equal(small.box, [1, 1, 5, 5])
    np.testing.assert_array_equal(small.points, [[10, 10, 2], [0.5, 0.5, 0]])
    assert small.mask.dtype == np.uint8 and small.depth.dtype == small.box.dtype == np.float32
    assert resized(NONE, (20, 40), (10, 10)) == NONE
    shape = np.array([[2, 4], [2, 24], [12, 4]], np.float32)
    objects = SampleObjects(
        np.array([[2, 4, 12, 24]], np.float32), np.array([1], np.int32), np.zeros(1, bool),
        np.array([100], np.float32), (outlines.encoded(mask == 7),),
    )  # fmt: skip
    found = resized(Annotations(objects=objects), (20, 40), (10, 10)).objects
    np.testing.assert_array_equal(found.corners, [[1, 1, 6, 6]])
    np.testing.assert_array_equal(outlines.decoded(found.outlines[0]), small.mask == 7)
    assert found.area == [12.5]
    drawn = Annotations(objects=objects._replace(outlines=((shape,),)))
    found = resized(drawn, (20, 40), (10, 10)).objects
    np.testing.assert_array_equal(found.outlines[0][0], [[1, 1], [1, 6], [6, 1]])


WANTED = Wanted(["mask", "box", "depth", "points"], points=3)


def test_a_batch_carries_what_is_there_and_says_what_is_not():
    image, said = scene()
    depth = said.depth.copy()
    depth[0, 0] = np.nan
    full = Sample(image, **said._replace(depth=depth)._asdict())
    row = carried(full, whole(64, 96), (64, 96), WANTED)
    np.testing.assert_array_equal(row.mask, said.mask)
    np.testing.assert_array_equal(row.depth, np.nan_to_num(depth))
    np.testing.assert_array_equal(row.box, said.box)
    np.testing.assert_array_equal(row.points, said.points)
    assert all(row.present.values())
    empty = carried(Sample(image), whole(64, 96), (32, 32), WANTED)
    assert (empty.mask == UNKNOWN).all() and not empty.depth.any() and not empty.box.any()
    assert empty.points.shape == (3, 3) and not empty.points.any()
    assert {*empty.present} == {*WANTED.names} and not any(empty.present.values())
    assert all(a.dtype == b.dtype for a, b in zip(row[:4], empty[:4], strict=True))
    away = carried(full, np.array([0, 0, 20, 20, 0, 96], np.float32), (20, 20), WANTED)
    assert not away.box.any() and not away.present["box"] and away.present["points"]
    assert carried(full, whole(64, 96), (9, 9), Wanted(["mask"]))[1:4] == (None, None, None)


@pytest.mark.parametrize("mirrored", [0, 1])
def test_a_batch_says_how_much_of_a_view_is_image(mirrored):
    """As many pixels as are not those of padding, to half a pixel."""
    image = np.full((30, 20, 3), 200, np.uint8)
    wanted = Wanted(["objects"], places=2)
    for box in ([4, 2, 40, 40, mirrored, 20], [0, 0, 10, 12, mirrored, 20]):
        box = np.float32(box)
        view = scale_jitter.shown(image, box, (24, 32), fill=(0, 0, 0))
        found = carried(Sample(image), box, view.shape[:2], wanted).objects
        there = view.any(-1)
        pixels = there.any(1).sum(), there.any(0).sum()
        np.testing.assert_allclose(found.extent, pixels, atol=0.6 if box[2] > 30 else 0)
        assert found.extent.dtype == np.float32 and (found.categories == -1).all()


def test_a_view_that_reaches_beyond_its_image_knows_nothing_there():
    mask = np.full((4, 6), 7, np.uint8)
    box = np.array([-2, -1, 8, 8, 1, 6], np.float32)
    view = seen(Annotations(mask, depth=mask / np.float32(2)), box, (8, 8))
    assert (view.mask[2:6, 1:7] == 7).all() and (view.mask == 7).sum() == 24
    np.testing.assert_array_equal(view.mask == UNKNOWN, view.depth == 0)


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (dict(names=["masks"]), "no annotations 'masks'; did you mean 'mask'"),
        (dict(names=["points"]), "with 0 key points"),
        (dict(names=["points"], points=3, swapped=[(1, 3)]), r"\(1, 3\) change places"),
    ],
)
def test_annotations_that_no_record_has_are_refused(wrong, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Wanted(**wrong)


def test_a_source_says_what_its_key_points_are():
    named = SimpleNamespace(name="x", skeleton=STROKES)
    assert Wanted.of(named, "mask", "points") == Wanted(("mask", "points"), 5, ((2, 3),))
    bare = SimpleNamespace(name="x")
    assert Wanted.of(bare, "mask") == Wanted(("mask",))
    with pytest.raises(ConfigError, match="'x' does not say what its key points are"):
        Wanted.of(bare, "points")


def test_another_number_of_key_points_is_said():
    with pytest.raises(ConfigError, match="a sample has 3 key points, but 5"):
        carried(Sample(*scene()[:1], points=scene()[1].points), whole(64, 96), (9, 9),
                Wanted(["points"], points=5))  # fmt: skip
