"""Candidates in chunks: how many, in which order they come back, and what is kept of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from m3i_jax import losses
from m3i_jax.losses import chunked
from m3i_jax.losses.chunked import count


@pytest.mark.parametrize(
    "positions, candidates, chunks",
    [
        (4096, 4096, 1),  # 2^24
        (8192, 8192, 1),
        (16_384, 16_384, 4),
        (40_000, 40_000, 25),  # 24 would do, and 25 leave 1600 = 2^6 · 25 in each
        (4096, 1_000_000, 100),  # of 10 000; 64 would leave 15 625, which no two devices share
        (40_000, 7, 1),
        (2**26, 7, 7),
        (2**20, 127, 2),  # nothing from 2 to 4 divides it: with a gap
    ],
)
def test_few_chunks_that_fit(positions, candidates, chunks):
    assert count(positions, candidates) == chunks


@pytest.mark.parametrize("total", [12, 11])
def test_all_come_once_and_in_order(total):
    z = np.arange(total, dtype=np.float32)[:, None]

    def see(seen, products, chunk):
        return seen + chunk.exists.sum(), jnp.where(chunk.exists, chunk.numbers, 0)[0]

    one = jnp.ones((2, 1), jnp.float32)
    valid = np.arange(total) != 3
    seen, numbers = chunked.fold(see, jnp.int32(0), one, z, valid=valid, whole=8)
    assert seen == total - 1
    np.testing.assert_array_equal(numbers, np.where(valid, np.arange(total), 0))


def test_no_matrix_of_all_products_is_kept_or_made():
    """Of eight devices each holds its rows and a chunk; gradients, too, are of the global batch."""
    rows, dim, whole = 1024, 8, 2**16
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    spread = NamedSharding(mesh, PartitionSpec("data"))
    shape = jax.ShapeDtypeStruct((rows, dim), jnp.float32, sharding=spread)
    index = np.arange(rows, dtype=np.int32)

    def loss(p, z, whole):
        return losses.info_nce(p, z, index, temperature=0.1, whole=whole).mean()

    sizes = {}
    for products in (whole, rows * rows):
        step = jax.jit(
            jax.value_and_grad(lambda p, z: loss(p, z, products), argnums=(0, 1)),  # noqa: B023
            out_shardings=(None, (spread, spread)),
        )
        memory = step.lower(shape, shape).compile().memory_analysis()
        sizes[products] = memory.temp_size_in_bytes
    matrix = 4 * rows * rows / 8  # of a device
    assert sizes[rows * rows] >= matrix
    # A chunk of products, a few times over, and all candidates once.
    assert sizes[whole] <= 4 * 4 * whole / 8 + 8 * 4 * rows * dim < matrix
