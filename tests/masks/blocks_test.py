"""Blocks against a plain host-side implementation, and the shares of uneven masks."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import masks
from m3i_jax.masks import blocks as module


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
    draw = jax.random.uniform(jax.random.key(3), (2000, module.TRIES, 4))
    start = jnp.zeros((2000, 14, 14), bool), jnp.ones(2000, bool)
    blocks, going = jax.jit(module._add, static_argnums=4)(*start, draw, jnp.full(2000, 98.0), 16)
    blocks = np.asarray(blocks)
    h, w = blocks.any(2).sum(1), blocks.any(1).sum(1)
    assert (blocks.sum((1, 2)) == h * w).all()  # filled rectangles
    assert h.max() <= 13 and w.max() <= 13
    assert (h * w >= 16 - 5).all() and (h * w <= 98).all()  # rounding both sides moves an area
    # √(16·0.3) = 2.2 rounds to 2 rows of 7: the sides' ratio may overshoot 0.3 by a half cell.
    assert ((h + 0.5) / (w - 0.5) >= 0.3).all() and ((w + 0.5) / (h - 0.5) >= 0.3).all()
    assert going.mean() > 0.99


def test_a_finished_mask_stays_as_it_is():
    draw = jax.random.uniform(jax.random.key(3), (50, module.TRIES, 4))
    blocks = jax.random.bernoulli(jax.random.key(4), 0.5, (50, 6, 6))
    hide = jnp.full(50, 36.0)
    after, going = jax.jit(module._add, static_argnums=4)(
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
