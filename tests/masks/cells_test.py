"""Single cells and squares: uniform, alike, by score."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from m3i_jax import masks

SCORES = np.array([[0.5, 1.0, 2.0], [4.0, 0.0, 2.5]], np.float32)
weighted = jax.jit(masks.weighted, static_argnums=(1, 2, 3))


def jitted(draw):
    return jax.jit(draw, static_argnums=(1, 2, 3))


def test_random_cells_are_uniform(key):
    hidden = ~np.asarray(jitted(masks.random)(key, 4096, (14, 14), 0.75))
    rate, n = 147 / 196, 4096
    counts = hidden.sum(0).ravel()
    chi2 = ((counts - rate * n) ** 2).sum() / (n * rate * (1 - rate))
    # 195 degrees of freedom: standard deviation 0.1 around 1.
    assert 0.7 < chi2 / 195 < 1.3
    # Without replacement, two cells hide together a little less often than independently.
    together = (hidden[:, 0, 0] & hidden[:, 7, 9]).mean()
    assert abs(together - rate * 146 / 195) < 4 * 0.5 / 64


def test_everything_is_visible(key):
    assert masks.everything(key, 3, (2, 4), 0.0).all()
    with pytest.raises(ValueError, match="hides nothing, but hidden is 0.5"):
        masks.everything(key, 3, (2, 4), 0.5)


@pytest.mark.parametrize(
    "share, grid, unit, wanted",
    [
        (0.6, (14, 14), 2, 30 * 4),  # SimMIM with ViT/16: ⌈29.4⌉ of 49
        (0.6, (48, 48), 8, 22 * 64),  # and with Swin: ⌈21.6⌉ of 36
        (0.55, (10, 10), 1, 55),  # 0.55·100 is 55.00000000000001 in floating point
        (0.0, (4, 4), 2, 0),
        (1.0, (4, 6), 2, 24),
    ],
)
def test_units_are_hidden_whole_and_as_many_as_counted(share, grid, unit, wanted, key):
    assert masks.count_units(share, grid, unit) == wanted
    draw = jax.jit(partial(masks.units, unit=unit), static_argnums=(1, 2, 3))
    visible = np.asarray(draw(key, 16, grid, share))
    assert visible.shape == (16, *grid) and visible.dtype == bool
    assert ((~visible).sum((1, 2)) == wanted).all()
    coarse = visible[:, ::unit, ::unit]
    np.testing.assert_array_equal(coarse.repeat(unit, 1).repeat(unit, 2), visible)
    assert len({m.tobytes() for m in visible}) > 8 or wanted in (0, 24)


def test_all_units_are_hidden_alike_often(key):
    hidden = ~np.asarray(masks.units(key, 4096, (14, 14), 0.6, unit=2))[:, ::2, ::2]
    rate, n = 30 / 49, 4096
    chi2 = ((hidden.sum(0) - rate * n) ** 2).sum() / (n * rate * (1 - rate))
    assert 0.5 < chi2 / 48 < 1.6  # 48 degrees of freedom: standard deviation 0.2 around 1


def test_units_have_to_divide_the_grid(key):
    with pytest.raises(ValueError, match="units of 4x4 cells do not divide a grid of 14x16"):
        masks.units(key, 2, (14, 16), 0.5, unit=4)
    with pytest.raises(ValueError, match="between 0 and 1"):
        masks.count_units(1.5, (4, 4), 2)


def test_rows_alike_hides_what_is_left_when_the_rest_is_rounded_down(key):
    """MSN keeps ⌊.85 · 196⌋ = 166 patches of 196: 30 go, where rounding would let 29 go."""
    assert masks.count_up(0.15, (14, 14)) == 30 and masks.count_up(0.5, (4, 4)) == 8
    for share, grid in ((0.15, (14, 14)), (0.15, (4, 4)), (0.7, (14, 14))):
        visible = jitted(masks.rows_alike)(key, 2, grid, share)
        kept = math.floor(round((1 - share) * grid[0] * grid[1], 6))
        np.testing.assert_array_equal(visible.sum((1, 2)), kept)


def test_rows_alike_is_one_random_mask_for_all(key):
    visible = np.asarray(jitted(masks.rows_alike)(key, 8, (7, 5), 0.4))
    assert ((~visible).sum((1, 2)) == 14).all()
    np.testing.assert_array_equal(visible, visible[:1].repeat(8, 0))
    np.testing.assert_array_equal(visible[:1], masks.random(key, 1, (7, 5), 0.4))
    other = masks.rows_alike(jax.random.fold_in(key, 1), 8, (7, 5), 0.4)
    assert (np.asarray(other) != visible).any()


def inclusion(scores, keep):
    """P(cell is kept), by all sequences of draws among those left."""
    found = np.zeros(len(scores))
    for sequence in itertools.permutations(range(len(scores)), keep):
        chance, left = 1.0, scores.sum()
        for cell in sequence:
            chance, left = chance * scores[cell] / left, left - scores[cell]
        found[list(sequence)] += chance
    return found


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_cells_are_kept_with_probability_by_score(keep, key):
    n = 20000
    scores = jnp.broadcast_to(SCORES * 1e-6, (n, 2, 3))  # of any scale
    kept = np.asarray(weighted(key, n, (2, 3), 1 - keep / 6, scores))
    assert (kept.sum((1, 2)) == keep).all()
    wanted = inclusion(SCORES.ravel().astype(np.float64), keep)
    # A rate over 20000 masks has a standard deviation of 0.0035 at most.
    np.testing.assert_allclose(kept.mean(0).ravel(), wanted, atol=0.014)
    assert np.ptp(wanted) > 0.3


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 1.0])
def test_weighted_masks_are_exact_whatever_the_scores(share, key):
    few = np.zeros((4, 4), np.float32)
    few[1, 2] = few[3, 3] = 1e-30
    scores = np.stack([few, np.zeros((4, 4)), np.ones((4, 4)), 1e30 * np.eye(4)])
    scores = jnp.asarray(scores.repeat(8, 0), jnp.float32)
    kept = np.asarray(weighted(key, 32, (4, 4), share, scores))
    assert ((~kept).sum((1, 2)) == masks.count(share, (4, 4))).all()
    if share < 1:  # cells of score 0 only come after all others
        assert kept[:8, 1, 2].all() and kept[:8, 3, 3].all()
    if share == 0.75:
        np.testing.assert_array_equal(kept[24:], np.eye(4, dtype=bool)[None].repeat(8, 0))
        assert len({m.tobytes() for m in kept[8:16]}) == 8  # the rest uniformly, not in order


def test_weighted_masks_do_not_depend_on_the_number_of_devices(key):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    scores = np.random.default_rng(0).random((16, 8, 8)).astype(np.float32)
    one = weighted(key, 16, (8, 8), 0.75, scores)
    many = weighted(key, 16, (8, 8), 0.75, jax.device_put(scores, rows))
    np.testing.assert_array_equal(many, one)
