"""A table of classes is nowhere whole, and says what it says on one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax import encoders, losses
from m3i_jax.nn.linear import with_table
from m3i_jax.parallel import sharding, tables

CUBE = {"data": 2, "fsdp": 2, "tensor": 2}
ROWS, DIM = 16, 32


def compared(mesh, classes, loss, *, batch=ROWS, dim=DIM):
    """How far value and gradients on the mesh are from those on one device; the program's memory.

    Distances are of norms, ‖found − right‖ / ‖right‖: float32 sums in another order.
    """
    rng = np.random.default_rng(0)
    x, table = (rng.standard_normal((n, dim), np.float32) for n in (batch, classes))
    index = rng.integers(0, classes, batch).astype(np.int32)
    step = jax.value_and_grad(loss, argnums=(0, 1))
    rows, kept = sharding.batch_sharding(mesh), P(sharding.of_rows(table.shape, mesh))
    kept = NamedSharding(mesh, kept)
    with jax.set_mesh(mesh):
        args = jax.device_put((x, table, index), (rows, kept, rows))
        many = jax.jit(step, out_shardings=(None, (rows, kept))).lower(*args).compile()
        found = jax.tree.leaves(jax.device_get(many(*args)))
    right = jax.tree.leaves(jax.device_get(jax.jit(step)(x, table, index)))
    norm = np.linalg.norm
    far = [norm(a - b) / norm(b) for a, b in zip(found, right, strict=True)]
    return far, many.memory_analysis()


def classified(x, table, index):
    """As M3I's class table, its decoder's result x and the loss."""
    module = encoders.create("table", size=len(table), width=table.shape[1])
    z = module.apply({"params": {"kernel": table}}, index)
    x = tables.beside(x, z.candidates)
    loss = losses.boltzmann(x, z.candidates, z.target_index, label_smoothing=0.1)
    return loss.mean() + jnp.square(z.pooled).mean()


def assigned(x, table, index):
    """As prototypes."""
    return losses.categorical(with_table(x, table), index).mean()


@pytest.mark.parametrize("loss", [classified, assigned])
@pytest.mark.parametrize("block", [CUBE, {"fsdp": 8}])
def test_a_table_is_nowhere_whole(loss, block):
    classes = 2**13
    far, memory = compared(sharding.mesh(block), classes, loss)
    assert max(far) <= 1e-6
    parts = 4 if block is CUBE else 8
    whole, products = 4 * classes * DIM, 4 * classes * ROWS
    assert memory.argument_size_in_bytes < whole / parts + 2**13
    # A gradient of its share, and the products of its images with its classes, some of them.
    assert memory.temp_size_in_bytes < 2 * whole / parts + 4 * products / parts


def test_rows_that_do_not_divide_are_whole():
    far, _ = compared(sharding.mesh(CUBE), 2**12 + 1, classified)
    assert max(far) <= 1e-6


@pytest.mark.slow
def test_a_million_classes():
    classes, dim, batch = 1_000_000, 64, 64
    far, memory = compared(sharding.mesh(CUBE), classes, classified, batch=batch, dim=dim)
    size = {"table": 4 * classes * dim, "products": 4 * classes * batch}
    size |= {"given": memory.argument_size_in_bytes, "made": memory.temp_size_in_bytes}
    said = ", ".join(f"{name} {n / 2**20:.1f}" for name, n in size.items())
    print(f"\nbatch {batch}, MiB: {said}; off by {max(far):.1e}")
    assert max(far) <= 1e-5  # a million shares are summed
    assert size["given"] < 1.01 * size["table"] / 4
    assert size["made"] < size["table"] and size["made"] < size["products"]
