"""What masks of any kind have in common: counts, keys, devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from m3i_jax import masks

BOTH = pytest.mark.parametrize("draw", [masks.random, masks.blockwise])


def jitted(draw):
    return jax.jit(draw, static_argnums=(1, 2, 3))


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


@BOTH
def test_indices_are_the_visible_cells_in_ascending_order(draw, key):
    visible = jitted(draw)(key, 8, (5, 7), 0.6)
    keep = 35 - masks.count(0.6, (5, 7))
    index = jax.jit(masks.indices, static_argnums=1)(visible, keep)
    assert index.dtype == jnp.int32
    wanted = [np.flatnonzero(np.asarray(v).ravel()) for v in visible]
    np.testing.assert_array_equal(index, wanted)
