"""Crops: torchvision's distribution, boxes that tell the truth, and the evaluation crop."""

import math
import resource

import numpy as np
import pytest
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views import crops
from m3i_jax.data.views.rand_augment import RandAugment


def reference(rng, height, width, count, scale, ratio, *, uniform=False):
    """An independent sampler: all tries of all draws at once, first fit taken, centre otherwise."""
    area = rng.uniform(*scale, (count, 10)) * height * width
    aspect = np.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1]), (count, 10)))
    aspect = rng.uniform(*ratio, (count, 10)) if uniform else aspect
    w, h = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (w > 0) & (w <= width) & (h > 0) & (h <= height)
    first, rows = fits.argmax(1), np.arange(count)
    h, w = h[rows, first], w[rows, first]
    none = ~fits.any(1)
    if width / height > ratio[1]:
        h[none], w[none] = height, round(height * ratio[1])
    elif width / height < ratio[0]:
        h[none], w[none] = round(width / ratio[0]), width
    else:
        h[none], w[none] = height, width
    return h, w, none


def ks(a, b):
    """Two-sample Kolmogorov-Smirnov distance."""
    grid = np.sort(np.concatenate([a, b]))
    cdf = lambda x: np.searchsorted(np.sort(x), grid, side="right") / len(x)  # noqa: E731
    return np.abs(cdf(a) - cdf(b)).max()


@pytest.mark.parametrize("height,width", [(375, 500), (640, 200), (200, 640)])
def test_area_and_ratio_are_distributed_as_torchvision_draws_them(height, width):
    n, scale, ratio = 20_000, (0.2, 1.0), (3 / 4, 4 / 3)
    rng = np.random.default_rng(0)
    drawn = [crops.draw_crop(rng, height, width, scale=scale, ratio=ratio) for _ in range(n)]
    h, w = np.array([c.height for c in drawn]), np.array([c.width for c in drawn])
    h_ref, w_ref, none = reference(np.random.default_rng(1), height, width, n, scale, ratio)
    # Equal distributions exceed this distance once in 10^5 draws of the test.
    limit = math.sqrt(-math.log(1e-5 / 2) / 2 * (2 / n))
    assert ks(h * w, h_ref * w_ref) < limit
    assert ks(np.log(w / h), np.log(w_ref / h_ref)) < limit
    # The test can fail: a ratio drawn uniformly, not log-uniformly, is further away than that.
    h_bad, w_bad, _ = reference(
        np.random.default_rng(2), height, width, n, scale, ratio, uniform=True
    )
    assert ks(np.log(w_bad / h_bad), np.log(w_ref / h_ref)) > limit
    if width == 200:  # the share of centre fallbacks that is known for 640 x 200
        assert none.mean() == pytest.approx(0.20, abs=0.02)
    top, left = np.array([c.top for c in drawn]), np.array([c.left for c in drawn])
    assert top.min() == 0 and (top + h).max() == height and (top + h <= height).all()
    assert left.min() == 0 and (left + w).max() == width and (left + w <= width).all()
    # Given its size a crop is uniform: the offset takes half of the free space on average.
    free = width - w
    assert (left[free > 0] / free[free > 0]).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "height,width,expected",
    [(100, 1000, (0, 433, 100, 133)), (1000, 100, (433, 0, 133, 100)), (1, 4000, (0, 1999, 1, 1))],
)
def test_falls_back_to_the_middle(height, width, expected):
    # Scale 1 fits in none of these, whatever ratio is drawn.
    crop = crops.draw_crop(np.random.default_rng(0), height, width, scale=(1.0, 1.0))
    assert crop == expected


def test_tiny_images_can_be_cropped():
    rng = np.random.default_rng(0)
    view, box = crops.random_resized_crop(
        np.full((1, 1, 3), 7, np.uint8), rng, size=4, scale=(1, 1)
    )
    assert (view == 7).all() and box.tolist()[:4] == [0, 0, 1, 1]


def ramp(height, width):
    """Red is 2 x the column, green 2 x the row: pixels that say where they are."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([2 * columns, 2 * rows, 0 * rows], -1).astype(np.uint8)


def test_boxes_say_where_the_pixels_come_from_in_their_own_frame():
    height, width, size = 90, 120, 24
    image, rng = ramp(height, width), np.random.default_rng(3)
    seen = set()
    for _ in range(60):
        view, box = crops.random_resized_crop(image, rng, size=size, scale=(0.2, 0.9))
        top, left, h, w, flip, frame = box
        seen.add(flip)
        assert frame == width and 0 <= left <= width - w and 0 <= top <= height - h
        centres = (np.arange(size) + 0.5) / size
        column = left + w * centres - 0.5  # in the frame of the view
        column = width - 1 - column if flip else column
        row = top + h * centres - 0.5
        # Bicubic reproduces a ramp but at the borders, where it folds back; 1 for the rounding.
        inner = slice(3, -3)
        assert np.abs(view[inner, inner, 0] - 2.0 * column[None, inner]).max() <= 1
        assert np.abs(view[inner, inner, 1] - 2.0 * row[inner, None]).max() <= 1
    assert seen == {0, 1}


def test_flip_before_the_cut_is_what_is_computed():
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    for seed in range(8):
        view, box = crops.random_resized_crop(
            image, np.random.default_rng(seed), size=16, scale=(0.3, 0.8), flip=1.0
        )
        top, left, h, w = map(int, box[:4])
        cut = Image.fromarray(np.ascontiguousarray(image[:, ::-1])).crop(
            (left, top, left + w, top + h)
        )
        expected = np.asarray(cut.resize((16, 16), Image.Resampling.BICUBIC)).astype(int)
        assert np.abs(expected - view).max() <= 1  # rounding of mirrored fixed-point weights


@pytest.mark.parametrize("size", [9, 70])  # shrinking, where filters widen, and enlarging
def test_interpolation_is_pillows_filter_of_that_name(size):
    """Bilinear is torchvision's default (MoCo, SimMIM, MSN): a triangle as wide as the scale."""
    # So that no cubic overshoots 0 or 255, where Pillow cuts after each of its two passes.
    image = np.random.default_rng(0).integers(90, 166, (50, 40, 3), np.uint8)
    for name, support, kernel in (
        ("bilinear", 1, lambda x: np.maximum(0, 1 - abs(x))),
        ("bicubic", 2, cubic),
    ):
        view, _ = crops.random_resized_crop(
            image, np.random.default_rng(0), size=size, scale=(1, 1), ratio=(0.8, 0.8), flip=0.0,
            interpolation=name,
        )  # fmt: skip
        down, across = (resampling(n, size, support, kernel) for n in image.shape[:2])
        wanted = np.einsum("ij,jkc,lk->ilc", down, image.astype(float), across)
        assert abs(wanted - view).max() <= 1.2  # each of two passes rounds


def cubic(x):
    x = abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1,
                    np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))  # fmt: skip


def resampling(length, size, support, kernel):
    """(size, length): weights of an antialiased resize, rows summing to 1, in float64."""
    scale = length / size
    wide = max(scale, 1.0)
    centres = (np.arange(size) + 0.5) * scale
    weights = kernel((np.arange(length) + 0.5 - centres[:, None]) / wide)
    weights[abs(np.arange(length) + 0.5 - centres[:, None]) > support * wide] = 0
    return weights / weights.sum(1, keepdims=True)


def test_the_interpolation_of_the_settings_is_that_of_every_view():
    settings = dict(local=1, local_size=8, interpolation="bilinear")
    row, rng = drawn(**settings), np.random.default_rng(0)
    for name, size, scale in (("a", 16, (0.08, 1)), ("b", 16, (0.08, 1)), ("l0", 8, (0.05, 0.4))):
        view, box = crops.random_resized_crop(
            SAMPLE.image, rng, size=size, scale=scale, interpolation="bilinear"
        )
        assert np.array_equal(row.images[name], view) and np.array_equal(row.boxes[name], box)
    bicubic = drawn(local=1, local_size=8)
    assert all(np.array_equal(bicubic.boxes[n], row.boxes[n]) for n in row.boxes)
    assert not np.array_equal(bicubic.images["a"], row.images["a"])
    with pytest.raises(ConfigError, match="'bilinaer'; did you mean 'bilinear'"):
        crops.Crops(interpolation="bilinaer")


def test_a_row_has_independent_views():
    sample = Sample(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), 3, "x")
    cut = crops.Crops(size=16, scale=(0.2, 0.5))
    row = cut(sample, np.random.default_rng(0))
    again = cut(sample, np.random.default_rng(0))
    assert set(row.images) == set(row.boxes) == {"a", "b"}
    assert row.images["a"].shape == (16, 16, 3) and row.images["a"].dtype == np.uint8
    assert row.boxes["a"].shape == (6,) and row.boxes["a"].dtype == np.float32
    assert row.label == 3 and row.label.dtype == np.int32 and row.text is None
    assert not np.array_equal(row.boxes["a"], row.boxes["b"])
    assert np.array_equal(row.images["b"], again.images["b"])
    assert set(crops.Crops(size=8, views=["a"])(sample, np.random.default_rng(0)).images) == {"a"}


SAMPLE = Sample(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), 3)


def drawn(seed=0, **options):
    return crops.Crops(size=16, **options)(SAMPLE, np.random.default_rng(seed))


def test_local_views_are_small_and_cut_from_their_own_range():
    scale = (0.05, 0.3)  # MSN's focal views
    shares = {"l": [], "a": []}
    for seed in range(40):
        row = drawn(seed, local=10, local_size=8, local_scale=scale, scale=(0.5, 1.0))
        assert list(row.images) == list(row.boxes) == ["a", "b", *(f"l{i}" for i in range(10))]
        assert all(row.images[f"l{i}"].shape == (8, 8, 3) for i in range(10))
        assert row.images["b"].shape == (16, 16, 3) and row.images["l9"].dtype == np.uint8
        for name, box in row.boxes.items():
            shares["l" if name.startswith("l") else "a"].append(box[2] * box[3] / (40 * 60))
    # Whole pixels: each side is off by half a pixel at most, of 9 or more and 30 or more.
    assert 0.05 * 0.88 < min(shares["l"]) < 0.08 and 0.27 < max(shares["l"]) < 0.3 * 1.06
    assert min(shares["a"]) > 0.5 * 0.96
    assert len({tuple(box) for box in row.boxes.values()}) == 12


@pytest.mark.parametrize("views", [("a",), ("a", "b")])
def test_the_other_views_do_not_depend_on_the_number_of_local_ones(views):
    none, many = drawn(views=views), drawn(views=views, local=6, local_size=8)
    fewer = drawn(views=views, local=2, local_size=8)
    assert list(none.images) == list(views)
    for name in views:
        assert np.array_equal(none.images[name], many.images[name])
        assert np.array_equal(none.boxes[name], many.boxes[name])
    assert np.array_equal(fewer.images["l1"], many.images["l1"])


def test_views_are_drawn_one_after_the_other():
    """From one generator, each by `random_resized_crop`: another order would be another stream."""
    rng = np.random.default_rng(0)
    row = drawn(views=("a", "b"), scale=(0.2, 0.6), local=2, local_size=8, flip=0.3)
    for name, size, scale in (
        ("a", 16, (0.2, 0.6)),
        ("b", 16, (0.2, 0.6)),
        ("l0", 8, (0.05, 0.4)),
        ("l1", 8, (0.05, 0.4)),
    ):
        view, box = crops.random_resized_crop(SAMPLE.image, rng, size=size, scale=scale, flip=0.3)
        assert np.array_equal(row.images[name], view) and np.array_equal(row.boxes[name], box)


def test_every_view_is_augmented_behind_its_crop():
    """By RandAugment and the same generator, so that the first crop is the one without."""
    settings = dict(magnitude=7.0, probability=1.0)
    row = drawn(views=("a", "b"), local=1, local_size=8, rand_augment=settings)
    rng, augment = np.random.default_rng(0), RandAugment(**settings)
    for name, size, scale in (
        ("a", 16, (0.08, 1.0)),
        ("b", 16, (0.08, 1.0)),
        ("l0", 8, (0.05, 0.4)),
    ):
        cut, box = crops.random_resized_crop(SAMPLE.image, rng, size=size, scale=scale)
        assert np.array_equal(row.images[name], augment(cut, rng))
        assert np.array_equal(row.boxes[name], box) and row.images[name].shape == (size, size, 3)
        assert not np.array_equal(row.images[name], cut)
    plain = drawn(views=("a", "b"))
    assert np.array_equal(row.boxes["a"], plain.boxes["a"])
    with pytest.raises(ConfigError, match="no key 'magnitud'; did you mean 'magnitude'"):
        drawn(rand_augment=dict(magnitud=1.0))


def test_what_the_device_resizes_is_cut_in_the_same_places():
    sample = Sample(np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8), 7)
    options = dict(size=16, local=1, local_size=8, interpolation="bilinear")
    host, device = (
        crops.Crops(**options, resize=resize)(sample, np.random.default_rng(3))
        for resize in ("exact", "device")
    )
    assert host.cuts is None and device.images == {} and device.label == 7
    shapes = {name: cut.shape for name, cut in device.cuts["bilinear"].items()}
    assert shapes == {"a": (32, 32, 3), "b": (32, 32, 3), "l0": (16, 16, 3)}
    for name, box in host.boxes.items():
        np.testing.assert_array_equal(device.boxes[name], box)
    with pytest.raises(ConfigError, match="config.augment.a.rand_augment is there"):
        crops.Crops(resize="device", rand_augment={})


def test_what_a_method_looks_at_becomes_views_and_a_number_of_local_ones():
    assert crops.split_views({"b", "a"}) == (("a", "b"), 0)
    assert crops.split_views({"a"}) == (("a",), 0)
    many = {f"l{i}" for i in range(11)}
    assert crops.split_views({"a", "left", "l01"} | many) == (("a", "l01", "left"), 11)
    with pytest.raises(ConfigError, match="l0, l2; they must be numbered"):
        crops.split_views({"a", "l0", "l2"})


@pytest.mark.parametrize(
    "bad",
    [
        dict(size=0),
        dict(scale=(0.5, 0.2)),
        dict(scale=(0, 1)),
        dict(ratio=(2, 1)),
        dict(flip=1.5),
        dict(views=()),
        dict(views=("a", "a")),
        dict(views=("a", "l0"), local=1),
        dict(local=-1),
        dict(local_size=0),
        dict(local_scale=(0.4, 0.05)),
        dict(local_scale=(0.4,)),
        dict(repeats=0),
        dict(rand_augment=dict(magnitude=11)),
    ],
)
def test_impossible_settings_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=f"crops.{next(iter(bad))}"):
        crops.Crops(**bad)


def test_center_crop_is_resize_256_and_crop_224():
    image = np.random.default_rng(0).integers(0, 256, (300, 451, 3), np.uint8)
    view, box = crops.center_crop(image, size=224)
    resized = Image.fromarray(image).resize((int(256 * 451 / 300), 256), Image.Resampling.BICUBIC)
    left = round((resized.width - 224) / 2)
    expected = np.asarray(resized.crop((left, 16, left + 224, 240)))
    assert np.array_equal(view, expected)
    np.testing.assert_allclose(box[[0, 2]], [16 * 300 / 256, 224 * 300 / 256], rtol=1e-6)


def whole(image, size, ratio, passes):
    """torchvision's Resize and CenterCrop: the whole image is resized, then cut.

    passes: sizes on the way, as functions of those before and behind: Pillow chooses one of two.
    """
    short, (height, width) = round(size / ratio), image.shape[:2]
    tall = short if height <= width else int(short * height / width)
    wide = short if width <= height else int(short * width / height)
    resized = Image.fromarray(image)
    for step in passes((width, height), (wide, tall)):
        resized = resized.resize(step, Image.Resampling.BICUBIC)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    return np.asarray(resized.crop((left, top, left + size, top + size))).astype(int)


ORDERS = (lambda old, new: [(new[0], old[1]), new], lambda old, new: [(old[0], new[1]), new])


def test_what_is_cut_first_is_what_is_cut_last_to_a_grey_level():
    rng, differ = np.random.default_rng(0), []
    for i in range(60):
        short, long = int(rng.integers(1, 20)), int(rng.integers(400, 900))
        shape = ((short, long), (long, short))[i % 2]
        size, ratio = int(rng.choice([8, 32])), float(rng.choice([0.5, 0.875, 1.0]))
        image = rng.integers(0, 256, (*shape, 3), np.uint8)  # noise overshoots most
        view, _ = crops.center_crop(image, size=size, ratio=ratio)
        off = [np.abs(view - whole(image, size, ratio, order)) for order in ORDERS]
        off = min(off, key=np.max)
        assert view.shape == (size, size, 3) and off.max() <= 1, (shape, size, ratio)
        differ.append((off > 0).mean())
    assert np.mean(differ) < 0.005


def test_other_images_are_resized_whole_and_equal_to_the_bit():
    rng = np.random.default_rng(0)
    for _ in range(60):
        image = rng.integers(0, 256, (*rng.integers(30, 200, 2), 3), np.uint8)
        view, _ = crops.center_crop(image, size=32)
        assert np.array_equal(view, whole(image, 32, 0.875, lambda old, new: [new]))


@pytest.mark.parametrize("shape", [(1, 16_000), (16_000, 1), (1, 65_500), (2, 20_000)])
@pytest.mark.parametrize("size", [32, 224])
def test_a_long_image_costs_no_more_than_its_middle(shape, size):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    view, _ = crops.center_crop(image, size=size)
    # Kilobytes; 171 MiB and 6 GB were the cost of the whole.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 2**10
    assert view.shape == (size, size, 3)


def test_center_crop_with_ratio_one_keeps_a_square_image_whole():
    image = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    view, box = crops.center_crop(image, size=32, ratio=1.0)
    assert view.shape == (32, 32, 3) and box.tolist() == [0, 0, 48, 48, 0, 48]


def test_without_local_views_the_description_is_what_it_always_was():
    """Word for word: a run started before there were local views, or a choice of interpolation,
    must go on.
    """
    assert crops.describe(crops.Crops(size=8, local_size=5, interpolation="bicubic")) == {
        "transform": "TwoCrops",
        "size": 8,
        "scale": (0.08, 1.0),
        "ratio": (3 / 4, 4 / 3),
        "flip": 0.5,
        "views": ("a", "b"),
    }


def test_the_description_tells_what_is_on():
    told = [
        crops.describe(crops.Crops(size=8, **change))
        for change in (
            {},
            dict(repeats=3),
            dict(interpolation="bilinear"),
            dict(rand_augment=dict(magnitude=9.0)),
            dict(rand_augment=dict(magnitude=9.0, deviation=0.4)),
            dict(rand_augment={}, local=1),
        )
    ]
    assert all(a != b for i, a in enumerate(told) for b in told[:i])
    assert told[1]["repeats"] == 3 and "rand_augment" not in told[1] and "repeats" not in told[3]
    assert told[2]["interpolation"] == "bilinear" and "interpolation" not in told[3]
    assert told[3]["rand_augment"] == dict(
        magnitude=9.0, deviation=0.5, operations=2, probability=0.5
    )


def test_with_local_views_the_description_tells_all_of_them():
    base = dict(size=8, local=2)
    told = [
        crops.describe(crops.Crops(**base | change))
        for change in ({}, dict(local=3), dict(local_size=5), dict(local_scale=(0.1, 0.2)))
    ]
    assert all(a != b for i, a in enumerate(told) for b in told[:i])
