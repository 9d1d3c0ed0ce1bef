"""Activations follow the batch axes of the mesh, and only those."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.parallel.constrain import batch_sharded, by_rows


def meshed(shape, names):
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * len(names))


def test_without_a_mesh_nothing_happens():
    x = jnp.ones((3, 4))
    assert batch_sharded(x) is x


def test_batch_axes_and_no_others():
    mesh = meshed((2, 2, 2), ("data", "fsdp", "tensor"))
    x = jnp.arange(32.0).reshape(8, 4)
    with jax.set_mesh(mesh):
        y = jax.jit(batch_sharded)(x)
    assert y.sharding.is_equivalent_to(NamedSharding(mesh, P(("data", "fsdp"))), 2)
    np.testing.assert_array_equal(y, x)


def test_passes_what_cannot_be_split():
    with jax.set_mesh(meshed((8,), ("data",))):
        assert jax.jit(batch_sharded)(jnp.ones((1, 4))).sharding.is_fully_replicated
    with jax.set_mesh(meshed((8,), ("tensor",))):
        assert jax.jit(batch_sharded)(jnp.ones((8, 4))).sharding.is_fully_replicated


def test_inside_shard_map():
    mesh = meshed((8,), ("data",))
    with jax.set_mesh(mesh):
        f = jax.shard_map(lambda x: batch_sharded(2 * x), in_specs=P("data"), out_specs=P("data"))
        np.testing.assert_array_equal(jax.jit(f)(jnp.arange(64.0)), 2 * np.arange(64.0))


@pytest.mark.parametrize("shape", [(2, 2, 2), (1, 1, 8), (8, 1, 1)])
@pytest.mark.parametrize("rows", [1, 8])
def test_every_device_does_its_own_rows(shape, rows):
    mesh = meshed(shape, ("data", "fsdp", "tensor"))
    split = shape[0] * shape[1] if rows == 8 else 1
    shapes = []

    def cumulate(x, y):
        shapes.append(x.shape)
        return jnp.cumsum(x, axis=1) * y, y[:, 0]

    x = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    with jax.set_mesh(mesh):
        found = jax.jit(lambda x, y: by_rows(cumulate, x, y))(x, 2 * x)
    assert shapes == [(rows // split, 4)]
    np.testing.assert_array_equal(found[0], jax.jit(cumulate)(x, 2 * x)[0])
    np.testing.assert_array_equal(found[1], 2 * x[:, 0])


def test_rows_without_a_mesh_and_inside_shard_map():
    x = jnp.arange(8.0)
    np.testing.assert_array_equal(by_rows(lambda x: 2 * x, x), 2 * x)
    double = lambda x: by_rows(lambda x: 2 * x, x)  # noqa: E731
    with jax.set_mesh(meshed((8,), ("data",))):
        split = jax.shard_map(double, in_specs=P("data"), out_specs=P("data"))
        np.testing.assert_array_equal(jax.jit(split)(x), 2 * x)
