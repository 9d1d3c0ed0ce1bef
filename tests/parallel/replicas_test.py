"""One flipped bit in one copy, on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.parallel import replicas, sharding

KINDS = {
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "int32": jnp.int32,
    "uint8": jnp.uint8,
    "bool": jnp.bool_,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_checksum_is_the_sum_written_from_its_formula(name):
    x = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    array = jnp.asarray(np.abs(x * 9), KINDS[name])
    words = np.asarray(array).view({1: np.uint8, 2: np.uint16, 4: np.uint32}[array.dtype.itemsize])
    right = sum(
        int(word) * (2 * i + 1) * replicas.PRIME for i, word in enumerate(words.reshape(-1))
    )
    assert int(replicas.checksum(array)) == right % 2**32


def test_every_bit_of_every_word_counts():
    rng, sums = np.random.default_rng(1), set()
    x = rng.integers(0, 2**32, 16, dtype=np.uint32)
    check = jax.jit(replicas.checksum)
    for place in range(16):
        for bit in range(32):
            one = x.copy()
            one[place] ^= np.uint32(1) << np.uint32(bit)
            sums.add(int(check(one)))
    assert int(check(x)) not in sums
    swapped = x.copy()
    swapped[[3, 9]] = swapped[[9, 3]]
    assert int(check(swapped)) != int(check(x))


def corrupted(array, device, bit):
    """The array, in whose copy of one device one bit is another."""
    parts = []
    for shard in array.addressable_shards:
        data = np.array(shard.data)
        if shard.device == device:
            data.view(np.uint32).reshape(-1)[data.size // 2] ^= np.uint32(1 << bit)
        parts.append(jax.device_put(data, shard.device))
    return jax.make_array_from_single_device_arrays(array.shape, array.sharding, parts)


@pytest.mark.parametrize("bit", [0, 22, 31])
@pytest.mark.parametrize(
    "axes, spec, sure",
    [
        ({"data": 8}, P(), True),
        ({"data": 4, "fsdp": 2}, P("fsdp"), True),
        ({"data": 2, "fsdp": 4}, P(None, "fsdp"), False),  # of two copies nobody knows which
        ({"data": 2, "fsdp": 2, "tensor": 2}, P("tensor", "fsdp"), False),
        ({"data": 2, "fsdp": 2, "tensor": 2}, P("tensor"), True),
    ],
)
def test_a_flipped_bit_is_found_and_its_device_named(axes, spec, sure, bit):
    mesh = sharding.mesh(axes)
    shardings = {"whole": NamedSharding(mesh, P()), "split": NamedSharding(mesh, spec)}
    tree = {
        name: jax.device_put(np.random.default_rng(2).normal(size=(8, 8)).astype(np.float32), one)
        for name, one in shardings.items()
    }
    compare = replicas.compare(shardings, mesh)
    assert compare(jax.tree.leaves(tree)) == []
    wrong = jax.devices()[5]
    bad = compare(jax.tree.leaves(tree | {"split": corrupted(tree["split"], wrong, bit)}))
    assert {one.path for one in bad} == {"split"} and all(one.sure == sure for one in bad)
    assert str(wrong) in {one.device for one in bad} and len(bad) == (1 if sure else 2)
    assert all(one.process == 0 for one in bad)


def test_what_only_one_device_holds_has_no_copy_to_differ_from():
    mesh = sharding.mesh({"data": 1, "fsdp": 8})
    split = NamedSharding(mesh, P("fsdp"))
    array = jax.device_put(np.arange(64, dtype=np.float32), split)
    bad = corrupted(array, jax.devices()[3], 4)
    assert replicas.compare({"x": split}, mesh)([bad]) == []
