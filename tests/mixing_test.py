"""Partners, gathers that stay on their device, and exact mixing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from m3i_jax import mixing


@pytest.mark.parametrize(
    "batch, group", [(2, None), (3, None), (8, None), (64, 8), (64, 2), (6, 6)]
)
def test_partners_are_a_permutation_without_fixed_points_in_each_group(batch, group):
    draw = jax.jit(jax.vmap(lambda key: mixing.partner(key, batch, group=group)))
    for sigma in np.asarray(draw(jax.random.split(jax.random.key(0), 20))):
        assert sigma.dtype == np.int32
        np.testing.assert_array_equal(np.sort(sigma), np.arange(batch))
        assert (sigma != np.arange(batch)).all()
        size = group or batch
        np.testing.assert_array_equal(sigma // size, np.arange(batch) // size)


def test_every_other_row_is_an_equally_likely_partner():
    n, draws = 6, 3000
    sigma = jax.vmap(lambda k: mixing.partner(k, n))(jax.random.split(jax.random.key(0), draws))
    counts = np.stack([(np.asarray(sigma) == j).sum(0) for j in range(n)], 1)
    rest = counts[~np.eye(n, dtype=bool)]
    # Standard deviation of a count is 22; 30 counts stay within 4 of them.
    assert abs(rest - draws / (n - 1)).max() < 4 * 22
    # Cycles of every structure a derangement of six can be made of by conjugated shifts occur.
    assert len({tuple(s) for s in np.asarray(sigma)}) > 100


def test_groups_draw_independently(key):
    sigma = np.asarray(mixing.partner(key, 64, group=8)).reshape(8, 8) % 8
    assert len({tuple(s) for s in sigma}) > 4


@pytest.mark.parametrize(
    "batch, group, message",
    [
        (1, None, "a batch of 1 cannot be mixed"),
        (8, 1, "groups of 1 cannot be mixed"),
        (8, 3, "groups of 3 rows do not fill a batch of 8"),
        (8, 16, "groups of 16 rows"),
    ],
)
def test_impossible_groups_are_refused_when_traced(batch, group, message, key):
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda k: mixing.partner(k, batch, group=group))(key)


@pytest.mark.parametrize(
    "shape, dtype", [((16,), np.int32), ((16, 3), bool), ((16, 4, 4, 3), np.float32)]
)
def test_take_is_indexing(shape, dtype, key):
    x = np.random.default_rng(0).integers(0, 99, shape).astype(dtype)
    for group in (None, 4):
        sigma = mixing.partner(key, 16, group=group)
        taken = mixing.take(jnp.asarray(x), sigma, group=group)
        np.testing.assert_array_equal(taken, x[np.asarray(sigma)])
        assert taken.dtype == dtype


def collectives(group, key):
    """Collective operations in the compiled gather of a batch that is spread over 8 devices."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    x = jax.device_put(jnp.arange(32 * 4 * 4 * 3, dtype=jnp.float32).reshape(32, 4, 4, 3), rows)
    sigma = mixing.partner(key, 32, group=group or 4)
    fn = jax.jit(lambda x, s: mixing.take(x, s, group=group), out_shardings=rows)
    np.testing.assert_array_equal(fn(x, sigma), np.asarray(x)[np.asarray(sigma)])
    program = fn.lower(x, jax.device_put(sigma, rows)).compile().as_text()
    kinds = ("all-gather", "all-reduce", "all-to-all", "collective-permute")
    return [kind for kind in kinds if f" {kind}" in program]


def test_groups_within_shards_need_no_collective(key):
    assert collectives(4, key) == []
    assert collectives(2, key) == []
    assert collectives(None, key)  # the plain gather does, so the check can fail


def test_invert(key):
    sigma = mixing.partner(key, 32)
    inverse = mixing.invert(sigma)
    np.testing.assert_array_equal(inverse[sigma], np.arange(32))
    x = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
    np.testing.assert_array_equal(mixing.take(mixing.take(x, sigma), inverse), x)


def test_mix_is_the_first_image_where_the_mask_is_true_and_exact(key):
    a, b = jax.random.normal(key, (2, 4, 8, 12, 3))
    b = b.at[0, 0, 0, 0].set(np.nan)  # a pixel that is not chosen cannot matter
    mask = np.random.default_rng(0).random((4, 4, 6)) < 0.5
    mask[0, 0, 0] = True
    mixed = jax.jit(mixing.mix, static_argnums=3)(a, b, mask, 2)
    pixels = mask.repeat(2, 1).repeat(2, 2)
    np.testing.assert_array_equal(np.asarray(mixed)[pixels], np.asarray(a)[pixels])
    np.testing.assert_array_equal(np.asarray(mixed)[~pixels], np.asarray(b)[~pixels])


def test_mix_with_a_partner_shows_the_partner(key):
    a, b = jax.random.normal(key, (2, 6, 4, 4, 3))
    sigma = mixing.partner(key, 6)
    there = mixing.take(b, sigma)
    hidden = mixing.mix(a, there, jnp.zeros((6, 2, 2), bool), 2)
    np.testing.assert_array_equal(hidden, np.asarray(b)[np.asarray(sigma)])
    np.testing.assert_array_equal(mixing.mix(a, there, jnp.ones((6, 2, 2), bool), 2), a)


def test_a_mask_has_to_cover_the_image():
    x = jnp.zeros((1, 8, 8, 3))
    with pytest.raises(ValueError, match="2x3 patches of 4 pixels does not cover 8x8"):
        mixing.mix(x, x, jnp.ones((1, 2, 3), bool), 4)
