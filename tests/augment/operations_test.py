"""RandAugment on the device: every operation against Pillow's, and what is drawn how often."""

import jax
import numpy as np
import pytest

from m3i_jax.augment import operations
from m3i_jax.augment.amounts import AMOUNTS
from m3i_jax.augment.operations import MOVES, NAMES, NOTHING, Changes
from m3i_jax.data.views import rand_augment as host
from m3i_jax.parallel.constrain import by_rows
from m3i_jax.parallel.sharding import mesh

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (24, 32, 3), np.uint8)
NARROW = np.stack([RNG.integers(*ends, (24, 32)) for ends in ((40, 91), (60, 201), (7, 8))], -1)
IMAGES = np.stack([NOISE, NARROW.astype(np.uint8), np.full_like(NOISE, 90)])
PAIRS = [
    (name, sign * amount.at(magnitude))
    for name, amount in AMOUNTS.items()
    for magnitude in (0.0, 3.3, 9.0, 10.0)
    for sign in ((1, -1) if amount.signed else (1,))
]


@pytest.fixture(scope="module")
def applied():
    """(pairs, 3, H, W, 3): each image after each change, all of them in one batch."""
    many = np.tile(IMAGES, (len(PAIRS), 1, 1, 1)).astype("f")
    numbers = np.repeat([NAMES.index(name) for name, _ in PAIRS], 3).astype(np.int32)
    amounts = np.repeat([amount for _, amount in PAIRS], 3).astype("f")
    got = jax.jit(operations.apply)(many, Changes(numbers, amounts))
    return np.asarray(got).reshape(len(PAIRS), *IMAGES.shape)


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_is_pillows(applied, name):
    """Moved images differ by a level in some pixels: Pillow rounds down what it adds in float64."""
    for (named, amount), mine in zip(PAIRS, applied, strict=True):
        if named != name:
            continue
        change = [host.Change(name, amount)]
        want = np.stack([host.apply(image, change) for image in IMAGES]).astype(int)
        away = np.abs(want - mine)
        assert away.max() <= (1 if name in (*MOVES, "auto_contrast") else 0), (amount, away.max())
        assert (away > 0).mean() < 0.03


def test_each_operation_is_drawn_as_often_and_as_strongly(key):
    count = 15 * 2000
    drawn = operations.draw(key, count, magnitude=5.0, deviation=0.0, probability=0.5)
    numbers, amounts = map(np.asarray, drawn)
    assert abs((numbers == NOTHING).mean() - 0.5) < 4 * 0.5 / count**0.5
    for number, (name, amount) in enumerate(AMOUNTS.items()):
        chosen = amounts[numbers == number]
        assert abs(len(chosen) - 1000) < 4 * 1000**0.5, name
        np.testing.assert_allclose(np.abs(chosen), amount.at(5.0), rtol=1e-6)
        assert abs((chosen < 0).mean() - 0.5 * amount.signed) < 4 * 0.5 / 1000**0.5


def test_magnitudes_are_normal_and_clipped(key):
    drawn = operations.draw(key, 40_000, magnitude=9.0, deviation=0.5, probability=1.0)
    m = np.asarray(drawn.amount)[np.asarray(drawn.operation) == NAMES.index("solarize_add")] / 11
    tail = 1 - np.clip(m, None, 9.999)[m < 9.999].size / m.size  # 2σ above the mean
    assert abs(tail - 0.0228) < 4 * (0.0228 / m.size) ** 0.5 and m.max() == 10
    assert abs(np.median(m) - 9.0) < 4 * 0.5 * 1.25 / m.size**0.5


def test_a_sample_is_changed_twice_in_its_own_way_on_one_device_and_on_eight(key):
    images = np.tile(NOISE, (16, 1, 1, 1)).astype("f") / 255
    run = lambda x: operations.rand_augment(key, x, probability=0.9, by_rows=by_rows)  # noqa: E731
    got = np.asarray(jax.jit(run)(images))
    with jax.set_mesh(mesh()):
        np.testing.assert_array_equal(jax.jit(run)(images), got)
    want, apply = images[:4] * 255, jax.jit(operations.apply)
    for number in range(2):
        drawn = operations.draw(jax.random.fold_in(key, number), 16, probability=0.9)
        want = apply(want, Changes(*(part[:4] for part in drawn)))
    np.testing.assert_allclose(got[:4] * 255, want, atol=1e-4)
    assert len(np.unique(got, axis=0)) > 8
