"""RandAugment: every operation by its formula in NumPy, and what is drawn how often."""

import collections
import math

import numpy as np
import pytest

from m3i_jax.augment.amounts import AMOUNTS, GROUND
from m3i_jax.build import ConfigError
from m3i_jax.data.views import rand_augment
from m3i_jax.data.views.rand_augment import OPERATIONS, Change, RandAugment

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (24, 32, 3), np.uint8)
# Levels from 40 to 90, 60 to 200 and 0 to 255: each channel has a range of its own.
NARROW = np.stack([RNG.integers(*ends, (24, 32)) for ends in ((40, 91), (60, 201), (0, 256))], -1)
NARROW = NARROW.astype(np.uint8)


def changed(name, amount=0.0, image=IMAGE):
    return rand_augment.apply(image, [Change(name, amount)])


def test_every_operation_has_an_amount_at_its_place():
    assert tuple(OPERATIONS) == tuple(AMOUNTS)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("magnitude", [0, 5, 10])
def test_images_keep_their_shape_and_type(name, magnitude):
    amount = AMOUNTS[name].at(magnitude)
    before = IMAGE.copy()
    for sign in (1, -1) if AMOUNTS[name].signed else (1,):
        made = changed(name, sign * amount)
        assert made.shape == IMAGE.shape and made.dtype == np.uint8
        assert np.array_equal(made, before) or magnitude or name in RELENTLESS
    assert np.array_equal(IMAGE, before)


# Those that change an image at magnitude 0, too: 3 have no amount, and 4 bits are not 8.
RELENTLESS = ("auto_contrast", "equalize", "invert", "posterize")


@pytest.mark.parametrize("name", OPERATIONS)
def test_magnitude_0_is_the_identity_where_it_can_be(name):
    same = np.array_equal(changed(name, AMOUNTS[name].at(0)), IMAGE)
    # The noise has all levels in every channel, so there is no contrast to gain.
    assert same == (name not in RELENTLESS or name == "auto_contrast")


def test_invert():
    np.testing.assert_array_equal(changed("invert"), 255 - IMAGE)


def test_auto_contrast_stretches_every_channel():
    x = NARROW.astype(float)
    low, high = x.min((0, 1)), x.max((0, 1))
    want = (x - low) * 255 / (high - low)
    made = changed("auto_contrast", image=NARROW)
    assert np.abs(made - want).max() < 1 + 1e-9  # Pillow cuts off what is behind the point
    assert (made.min((0, 1)) == 0).all() and (made.max((0, 1)) >= 254).all()


def test_equalize_gives_every_level_its_rank():
    """A level becomes 255 times the share of the pixels below it, in Pillow's whole steps."""
    made = changed("equalize", image=NARROW)
    for channel in range(3):
        x, y = NARROW[..., channel].ravel(), made[..., channel].ravel()
        counts = np.bincount(x, minlength=256)
        step = (counts.sum() - counts[counts > 0][-1]) // 255
        below = np.cumsum(counts) - counts
        np.testing.assert_array_equal(y, np.minimum((step // 2 + below[x]) // step, 255))


@pytest.mark.parametrize("magnitude, bits", [(0, 4), (2.4, 4), (2.6, 3), (6, 2), (9, 1), (10, 0)])
def test_posterize_keeps_the_highest_bits(magnitude, bits):
    """4 − ⌊0.4 m⌋ of them, as timm counts."""
    assert bits == 4 - math.floor(0.4 * magnitude)
    step = 2 ** (8 - bits)
    made = changed("posterize", AMOUNTS["posterize"].at(magnitude))
    np.testing.assert_array_equal(made, IMAGE.astype(int) // step * step)


@pytest.mark.parametrize("magnitude", [0, 3, 7.3, 10])
def test_solarize_inverts_the_bright(magnitude):
    least = 256 - math.floor(25.6 * magnitude)
    made = changed("solarize", AMOUNTS["solarize"].at(magnitude))
    np.testing.assert_array_equal(made, np.where(IMAGE < least, IMAGE, 255 - IMAGE))


@pytest.mark.parametrize("magnitude", [0, 3, 7.3, 10])
def test_solarize_add_lights_up_the_dark(magnitude):
    more = math.floor(11 * magnitude)
    made = changed("solarize_add", AMOUNTS["solarize_add"].at(magnitude))
    want = np.where(IMAGE < 128, np.minimum(IMAGE.astype(int) + more, 255), IMAGE)
    np.testing.assert_array_equal(made, want)


def gray_(x):
    return x @ [0.299, 0.587, 0.114]


def smooth_(x):
    """Pillow's SMOOTH: the neighbours once, the pixel 5 times; the rim as it is."""
    made = x.copy()
    rows = sum(x[1 + i : x.shape[0] - 1 + i] for i in (-1, 0, 1))
    around = sum(rows[:, 1 + j : x.shape[1] - 1 + j] for j in (-1, 0, 1))
    made[1:-1, 1:-1] = (around + 4 * x[1:-1, 1:-1]) / 13
    return made


BASES = {
    "color": lambda x: gray_(x)[..., None],
    "contrast": lambda x: gray_(x).mean(),
    "brightness": lambda x: 0.0,
    "sharpness": smooth_,
}


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("amount", [-0.9, -0.3, 0.45, 0.9])
def test_enhancers_blend_with_their_base(name, amount):
    x = IMAGE.astype(float)
    want = np.clip((1 + amount) * x - amount * BASES[name](x), 0, 255)
    # Pillow rounds the base, which the factor scales, and cuts off the result.
    assert np.abs(changed(name, amount) - want).max() <= 1 + abs(amount)


def test_translations_move_by_shares_of_the_sides():
    left = changed("translate_x", 0.25)  # 8 of 32 columns
    np.testing.assert_array_equal(left[:, :24], IMAGE[:, 8:])
    assert (left[:, 24:] == GROUND).all()
    down = changed("translate_y", -0.25)  # 6 of 24 rows
    np.testing.assert_array_equal(down[6:], IMAGE[:18])
    assert (down[:6] == GROUND).all()


ROWS, COLUMNS = np.mgrid[:60, :80].astype(float)
RAMP = np.stack([3 * COLUMNS, 4 * ROWS, 0 * ROWS], -1).astype(np.uint8)


def rotated_(degrees):
    """Where the pixels of an image turned counterclockwise about its middle come from."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = COLUMNS - 39.5, ROWS - 29.5  # rows count downwards
    return 39.5 + cos * x - sin * y, 29.5 + sin * x + cos * y


SOURCES = {
    "rotate": rotated_,
    "shear_x": lambda s: (COLUMNS + s * (ROWS + 0.5), ROWS),
    "shear_y": lambda s: (COLUMNS, ROWS + s * (COLUMNS + 0.5)),
    "translate_x": lambda s: (COLUMNS + 80 * s, ROWS),
    "translate_y": lambda s: (COLUMNS, ROWS + 60 * s),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("magnitude", [-10, -3.3, 3.3, 10])
def test_pixels_come_from_where_the_map_says(name, magnitude):
    """On ramps of 3 and 4 levels per pixel, levels tell where they were.

    Pillow's cubic, 2d − 3d² + 2d³ between two steps of a ramp, is within 0.1 steps of d.
    """
    amount = math.copysign(AMOUNTS[name].at(abs(magnitude)), magnitude)
    column, row = SOURCES[name](amount)
    made = changed(name, amount, RAMP)
    inside = (column > 1) & (column < 78) & (row > 1) & (row < 58)
    outside = (column < -1) | (column > 80) | (row < -1) | (row > 60)
    assert inside.sum() > 1000 and outside.sum() > 50
    assert np.abs(made[..., 0] - 3 * column)[inside].max() <= 1 + 0.3
    assert np.abs(made[..., 1] - 4 * row)[inside].max() <= 1 + 0.4
    assert (made[outside] == GROUND).all()


def test_it_is_a_pure_function_of_the_image_and_the_generator():
    augment = RandAugment()
    made = [augment(IMAGE, np.random.default_rng(seed)) for seed in (*range(20), *range(20))]
    assert all(np.array_equal(a, b) for a, b in zip(made[:20], made[20:], strict=True))
    # 0.5² of the images are left alone, so not even 12 of 20 can be expected to be equal.
    assert 8 < len({m.tobytes() for m in made}) <= 20
    mirrored = IMAGE[:, ::-1]  # a view with negative strides, as crops give it
    for seed in range(5):
        np.testing.assert_array_equal(
            augment(mirrored, np.random.default_rng(seed)),
            augment(mirrored.copy(), np.random.default_rng(seed)),
        )


def test_changes_are_applied_one_after_the_other():
    changes = [Change("posterize", 1.0), Change("solarize_add", 50.0)]
    made = rand_augment.apply(IMAGE, changes)
    np.testing.assert_array_equal(made, np.where(IMAGE < 128, 50, 128))
    for seed in range(10):
        drawn = RandAugment(operations=3).draw(np.random.default_rng(seed))
        once = IMAGE
        for change in drawn:
            once = rand_augment.apply(once, [change])
        again = RandAugment(operations=3)(IMAGE, np.random.default_rng(seed))
        np.testing.assert_array_equal(once, again)


def test_half_of_two_operations_each_as_likely():
    augment, rng, images = RandAugment(), np.random.default_rng(0), 15_000
    drawn = [augment.draw(rng) for _ in range(images)]
    sizes = np.bincount([len(changes) for changes in drawn]) / images
    # Shares of 15 000 draws: 5 standard deviations of 0.004.
    np.testing.assert_allclose(sizes, [0.25, 0.5, 0.25], atol=0.02)
    names = collections.Counter(change.name for changes in drawn for change in changes)
    assert set(names) == set(OPERATIONS)
    # 1000 of each are expected, with a standard deviation of 31: 5 of those.
    assert all(abs(count - 1000) < 155 for count in names.values())
    # With replacement: a fifteenth of the pairs are twins.
    twins = [a.name == b.name for a, b in (c for c in drawn if len(c) == 2)]
    assert abs(np.mean(twins) - 1 / 15) < 5 * math.sqrt(1 / 15 * 14 / 15 / len(twins))


def test_magnitudes_are_normal_and_signs_even():
    amounts = collections.defaultdict(list)
    augment, rng = RandAugment(magnitude=6, probability=1.0), np.random.default_rng(1)
    for _ in range(15_000):
        for name, amount in augment.draw(rng):
            amounts[name].append(amount)
    for name in ("rotate", "color", "shear_x", "translate_y", "solarize_add"):
        operation, drawn = AMOUNTS[name], np.array(amounts[name])
        magnitudes = 10 * np.abs(drawn) / operation.strongest
        # 2000 draws: the mean is known to 0.011, the deviation to 0.008; 5 of those.
        assert abs(magnitudes.mean() - 6) < 0.06 and abs(magnitudes.std() - 0.5) < 0.04
        negative = (drawn < 0).mean()
        assert abs(negative - 0.5) < 0.06 if operation.signed else negative == 0


def test_magnitudes_stay_within_0_and_10():
    augment, rng = RandAugment(magnitude=10, deviation=3.0, probability=1.0), RNG
    drawn = [change for _ in range(500) for change in augment.draw(rng)]
    degrees = np.array([abs(amount) for name, amount in drawn if name == "rotate"])
    assert degrees.max() == 30 and (degrees == 30).mean() > 0.25 and degrees.min() < 25


@pytest.mark.parametrize("probability, expected", [(0.0, 0), (1.0, 4)])
def test_never_and_always(probability, expected):
    augment = RandAugment(operations=4, probability=probability)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        assert len(augment.draw(rng)) == expected
    if not expected:
        assert augment(IMAGE, rng) is IMAGE


def test_no_deviation_is_one_magnitude():
    augment = RandAugment(magnitude=5, deviation=0.0, probability=1.0)
    for change in augment.draw(np.random.default_rng(0)):
        assert abs(change.amount) == AMOUNTS[change.name].at(5)


@pytest.mark.parametrize(
    "bad",
    [
        dict(magnitude=11),
        dict(magnitude=-1),
        dict(deviation=-0.5),
        dict(operations=0),
        dict(probability=1.5),
    ],
)
def test_impossible_settings_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=f"crops.rand_augment.{next(iter(bad))} is"):
        RandAugment(**bad)
