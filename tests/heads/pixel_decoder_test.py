"""The pixel decoder: counts, and what its finest map is made of; tests/parity has all of it."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import geometry
from m3i_jax.heads.pixel_decoder import PixelDecoder, flattened, positioned
from m3i_jax.trees import count
from tests.heads.layers import conv_, resize_, wide
from tests.nn.group_norm_test import normed_

GRIDS, WIDTHS = ((8, 6), (4, 3), (2, 2), (1, 1)), (5, 6, 7, 8)


def test_count_of_the_published_one():
    """Of a Swin-B's maps."""
    maps = [jax.ShapeDtypeStruct((1, 64 >> i, 64 >> i, 128 << i), jnp.float32) for i in range(4)]
    module = PixelDecoder(256, 256, layers=6, heads=8, hidden=1024)
    params = jax.eval_shape(module.init, jax.random.key(0), maps)["params"]
    d, places = 256, 8 * 3 * 4
    attention = 2 * (d * d + d) + 3 * places * (d + 1)
    layer = attention + (d * 1024 + 1024 + 1024 * d + d) + 4 * d
    inputs = sum((128 << i) * d + 3 * d for i in (1, 2, 3))
    finest = 128 * d + 2 * d + 9 * d * d + 2 * d + d * d + d
    assert count(params) == 6 * layer + inputs + finest + 3 * d == 5_544_384


def test_positions_are_of_cells_and_of_their_level():
    levels = np.float32([[1, 2, 3, 4], [10, 20, 30, 40]])
    got = np.asarray(positioned(((2, 3), (1, 2)), levels))[0]
    own = got - np.repeat(levels, [6, 2], axis=0)
    np.testing.assert_allclose(own[:6], geometry.grid_waves((2, 3), 4)[0], atol=1e-5)
    np.testing.assert_allclose(own[6:], geometry.grid_waves((1, 2), 4)[0], atol=1e-5)
    maps = [np.arange(6.0).reshape(1, 2, 3, 1), np.arange(6.0, 8.0).reshape(1, 1, 2, 1)]
    np.testing.assert_array_equal(flattened(maps)[0, :, 0], np.arange(8.0))


def test_the_finest_map_is_completed_in_float64():
    """By the finest of those that attend, and the levels are returned from the coarsest on."""
    rng = np.random.default_rng(0)
    maps = [np.float32(rng.normal(size=(1, *g, d))) for g, d in zip(GRIDS, WIDTHS, strict=True)]
    module = PixelDecoder(8, 4, layers=1, heads=2, hidden=8)
    shapes = jax.eval_shape(module.init, jax.random.key(0), maps)["params"]
    params = jax.tree.map(lambda leaf: np.float32(rng.normal(0, 0.5, leaf.shape)), shapes)
    features, levels = jax.jit(lambda p: module.apply({"params": p}, maps))(params)
    assert [y.shape for y in levels] == [(1, *grid, 8) for grid in GRIDS[:0:-1]]
    p = wide(params)
    unit = lambda name, x: normed_(p[name]["norm"], conv_(p[name]["conv"], x), 8)  # noqa: E731
    y = unit("lateral", wide(maps[0])) + resize_(wide(levels[-1]), GRIDS[0])
    want = conv_(p["mask_features"], np.maximum(unit("output", y), 0))
    np.testing.assert_allclose(features, want, rtol=1e-4, atol=1e-4)
