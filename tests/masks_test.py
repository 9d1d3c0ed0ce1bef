"""Masks: exact counts, marginals against a plain host-side implementation, devices."""

import itertools
import math
from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from m3i_jax import masks

GRIDS = [(1, 1), (2, 2), (4, 4), (7, 5), (10, 10), (14, 14)]
SHARES = [0.0, 0.1, 0.35, 0.5, 0.6, 0.75, 0.9, 0.999, 1.0]
BOTH = pytest.mark.parametrize("draw", [masks.random, masks.blockwise])


def jitted(draw):
    return jax.jit(draw, static_argnums=(1, 2, 3))


def host_blockwise(rng, grid, hide, least):
    """One mask by the plain loop over blocks and tries; True = hidden."""
    height, width = grid
    hidden = np.zeros(grid, bool)
    while hidden.sum() < hide:
        remaining = hide - hidden.sum()
        for _ in range(10):
            area = rng.uniform(min(least, remaining), max(least, remaining))
            aspect = math.exp(rng.uniform(math.log(0.3), math.log(1 / 0.3)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h >= height or w >= width:
                continue
            i, j = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            new = h * w - hidden[i : i + h, j : j + w].sum()
            if 1 <= new <= remaining:
                hidden[i : i + h, j : j + w] = True
                break
        else:
            break
    free = np.flatnonzero(~hidden.ravel())
    hidden.ravel()[rng.choice(free, hide - hidden.sum(), replace=False)] = True
    return hidden


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("share", SHARES)
def test_count_rounds_the_exact_product(grid, share):
    exact = Fraction(str(share)) * grid[0] * grid[1]
    assert masks.count(share, grid) == round(exact)


def test_count_table():
    # int(100·(1−0.9)) is 9 in floating point; 0.35·90 is 31.499….
    wanted = {(0.9, (10, 10)): 90, (0.7, (16, 16)): 179, (0.35, (9, 10)): 32, (0.5, (14, 14)): 98}
    wanted |= {(0.75, (14, 14)): 147, (0.6, (14, 14)): 118, (0.5, (5, 5)): 12, (0.5, (7, 5)): 18}
    assert {k: masks.count(*k) for k in wanted} == wanted
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            masks.count(share, (4, 4))


@BOTH
@pytest.mark.parametrize(
    "grid, share",
    [((1, 1), 0.0), ((1, 1), 1.0), ((4, 4), 0.5), ((3, 7), 0.97), ((14, 14), 0.999), ((1, 9), 0.5)],
)
def test_exactly_the_count_is_hidden_in_every_image(draw, grid, share, key):
    visible = np.asarray(jitted(draw)(key, 16, grid, share))
    assert visible.shape == (16, *grid) and visible.dtype == bool
    assert ((~visible).sum((1, 2)) == masks.count(share, grid)).all()


@BOTH
def test_masks_differ_between_images_and_keys_but_not_between_runs(draw, key):
    draw = jitted(draw)
    first = np.asarray(draw(key, 32, (14, 14), 0.5))
    assert len({m.tobytes() for m in first}) == 32
    np.testing.assert_array_equal(draw(key, 32, (14, 14), 0.5), first)
    other = np.asarray(draw(jax.random.fold_in(key, 1), 32, (14, 14), 0.5))
    assert ((~first).sum((1, 2)) == 98).all()
    assert not {m.tobytes() for m in first} & {m.tobytes() for m in other}


@BOTH
def test_masks_do_not_depend_on_the_number_of_devices(draw, key):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    fn = partial(draw, batch=16, grid=(8, 8), hidden=0.5)
    np.testing.assert_array_equal(jax.jit(fn, out_shardings=rows)(key), jax.jit(fn)(key))


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


def orbits(rates):
    """Mean over the eight symmetries of a square grid, which the masks have by construction."""
    turned = [np.rot90(r, k) for r in (rates, rates.T) for k in range(4)]
    return np.mean(turned, axis=0)


def blockiness(hidden):
    """Share of vertical neighbours that are alike."""
    return (hidden[:, 1:] == hidden[:, :-1]).mean()


@pytest.mark.parametrize("grid, share, least", [((14, 14), 0.6, 16), ((8, 8), 0.5, 8)])
def test_blocks_have_the_marginals_of_the_plain_loop(grid, share, least, key):
    rng, hide = np.random.default_rng(0), masks.count(share, grid)
    host = np.stack([host_blockwise(rng, grid, hide, least) for _ in range(1500)])
    ours = ~np.asarray(jitted(masks.blockwise)(key, 6000, grid, share))
    # One cell's rate over 1500 masks has a standard deviation of 0.013, an orbit's less than
    # half of that; centre and corner differ by 0.5.
    difference = abs(orbits(ours.mean(0)) - orbits(host.mean(0)))
    assert difference.max() < 0.02
    assert np.ptp(orbits(host.mean(0))) > 0.2
    assert abs(blockiness(ours) - blockiness(host)) < 0.005
    assert blockiness(ours) > 0.65


def test_the_first_block_is_a_rectangle_within_the_rules():
    """One step from an empty mask: sides shorter than the grid, area and aspect in their ranges."""
    draw = jax.random.uniform(jax.random.key(3), (2000, masks.TRIES, 4))
    start = jnp.zeros((2000, 14, 14), bool), jnp.ones(2000, bool)
    blocks, going = jax.jit(masks._add, static_argnums=4)(*start, draw, jnp.full(2000, 98.0), 16)
    blocks = np.asarray(blocks)
    h, w = blocks.any(2).sum(1), blocks.any(1).sum(1)
    assert (blocks.sum((1, 2)) == h * w).all()  # filled rectangles
    assert h.max() <= 13 and w.max() <= 13
    assert (h * w >= 16 - 5).all() and (h * w <= 98).all()  # rounding both sides moves an area
    # √(16·0.3) = 2.2 rounds to 2 rows of 7: the sides' ratio may overshoot 0.3 by a half cell.
    assert ((h + 0.5) / (w - 0.5) >= 0.3).all() and ((w + 0.5) / (h - 0.5) >= 0.3).all()
    assert going.mean() > 0.99


def test_a_finished_mask_stays_as_it_is():
    draw = jax.random.uniform(jax.random.key(3), (50, masks.TRIES, 4))
    blocks = jax.random.bernoulli(jax.random.key(4), 0.5, (50, 6, 6))
    hide = jnp.full(50, 36.0)
    after, going = jax.jit(masks._add, static_argnums=4)(
        blocks, jnp.zeros(50, bool), draw, hide, 16
    )
    np.testing.assert_array_equal(after, blocks)
    assert not going.any()


def test_uneven_masks_hide_nothing_in_half_of_the_images(key):
    hidden = ~np.asarray(jitted(masks.uneven)(key, 4000, (14, 14), 0.3))
    counts = hidden.sum((1, 2))
    assert abs((counts == 0).mean() - 0.5) < 4 * 0.5 / 4000**0.5
    some = counts[counts > 0]
    assert 0.1 * 196 - 16 < some.min() and some.max() <= 0.5 * 196
    # U(.1, .5), of which blocks fall short by a few cells at times.
    assert 0.27 < some.mean() / 196 < 0.301
    assert blockiness(hidden[counts > 50]) > 0.65


def test_uneven_masks_in_strata_are_of_exactly_half_the_images_and_all_shares(key):
    draw = partial(masks.uneven, least=4, strata=True)
    counts = np.sort((~np.asarray(jitted(draw)(key, 64, (14, 14), 0.3))).sum((1, 2)))
    assert (counts[:32] == 0).all()
    low = 196 * (0.1 + 0.4 * np.arange(32) / 32)
    # One in each of 32 parts of 2.45 cells; a block that found no place leaves a few out.
    assert (counts[32:] <= low + 2.45).all() and (counts[32:] >= low - 6).mean() > 0.9


@BOTH
def test_indices_are_the_visible_cells_in_ascending_order(draw, key):
    visible = jitted(draw)(key, 8, (5, 7), 0.6)
    keep = 35 - masks.count(0.6, (5, 7))
    index = jax.jit(masks.indices, static_argnums=1)(visible, keep)
    assert index.dtype == jnp.int32
    wanted = [np.flatnonzero(np.asarray(v).ravel()) for v in visible]
    np.testing.assert_array_equal(index, wanted)


def test_indices_of_too_few_cells_are_loud():
    index = masks.indices(jnp.zeros((1, 2, 2), bool).at[0, 1, 0].set(True), 2)
    np.testing.assert_array_equal(index, [[2, 4]])
    gathered = jnp.take_along_axis(jnp.ones((1, 4)), index, axis=1)
    assert np.isnan(gathered[0, 1])


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


SCORES = np.array([[0.5, 1.0, 2.0], [4.0, 0.0, 2.5]], np.float32)
weighted = jax.jit(masks.weighted, static_argnums=(1, 2, 3))


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


@pytest.mark.parametrize("grid, kept", [((14, 14), 49), ((16, 16), 64), ((4, 6), 6), ((2, 2), 1)])
def test_a_context_and_the_blocks_that_it_lacks(grid, kept, key):
    draw = jax.jit(lambda k: masks.multiblock(k, 64, grid, 0.75))
    for k in jax.random.split(key, 3):
        visible, blocks = (np.asarray(x) for x in draw(k))
        assert (visible.sum((1, 2)) == kept).all() and blocks.shape == (64, 4, *grid)
        assert not (blocks & visible[:, None]).any()
        counts = blocks.sum((2, 3))
        assert counts.max() <= masks.most_of_block(grid)
        if grid[0] > 4:
            whole = blocks[counts == counts.max()]  # those that lost no cell: one rectangle for all
            assert len(whole) > 0.97 * counts.size
            assert 0.14 < counts.max() / np.prod(grid) < 0.22
            sides = {(m.any(1).sum(), m.any(0).sum()) for m in whole}
            assert len(sides) == 1 and np.prod(sides.pop()) == counts.max()


@pytest.mark.parametrize(
    "grid, left, asked", [((16, 16), 90, 8), ((14, 14), 69, 6), ((2, 4), 3, 1)]
)
def test_one_rectangle_on_a_torus_is_left_and_few_others_asked_for(grid, left, asked, key):
    draw = jax.jit(lambda k: masks.inverse_block(k, 200, grid, 0.65, asked=0.05))
    visible, blocks = (np.asarray(x) for x in draw(key))
    assert (visible.sum((1, 2)) == left).all() and not (blocks[:, 0] & visible).any()
    assert (blocks.sum((1, 2, 3)) == asked).all()
    assert masks.count_asked(grid, hidden=0.65, asked=0.05) == asked
    assert abs(visible.mean(0) - left / visible[0].size).max() < 0.15  # everywhere alike
    for mask in visible[:50]:
        rows, columns = mask.any(1).sum(), mask.any(0).sum()
        assert rows * columns - left < columns  # the last row alone is not whole
        assert grid[0] < 4 or 0.3 < rows / columns < 3
