"""Whether devices that hold the same numbers still do: one flipped bit is found, its device named.

A step gives every copy of a parameter the same change, so copies stay equal to the bit, until a
device computes or keeps something wrong without a word; then they drift apart for ever, and nothing
else shows it. Hochschild et al. 2021, Cores that don't count, https://doi.org/10.1145/3458336.3465297.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import UInt32

from m3i_jax import trees
from m3i_jax.types import Array

WORDS = {1: jnp.uint8, 2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint32}  # by the bytes of an element
PRIME = 2654435761  # Knuth's: odd, so that no bit of a word is lost by the product


class Difference(NamedTuple):
    """A copy that is not what the others are.

    path: of the array.  device, process: that holds it.
    sure: whether more copies agree than are as it is; of two nobody knows which is wrong.
    """

    path: str
    device: str
    process: int
    sure: bool


def checksum(x: Array) -> UInt32[Array, ""]:
    """Σ_i w_i · (2i + 1) · c mod 2³² over the words w of an array: any one changed bit changes it.

    An odd factor has an inverse modulo 2³², so w ↦ w · (2i + 1) · c is one to one. Words that
    change places change it, too.
    """
    words = x if jnp.issubdtype(x.dtype, jnp.unsignedinteger) else _words(x)
    words = words.astype(jnp.uint32).reshape(-1)
    odd = 2 * jax.lax.iota(jnp.uint32, words.size) + 1
    return jnp.sum(words * odd * jnp.uint32(PRIME), dtype=jnp.uint32)


def _words(x: Array) -> Array:
    """The bits of an array as whole numbers."""
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(x)
    if x.dtype == jnp.bool_:
        return x.astype(jnp.uint8)
    return jax.lax.bitcast_convert_type(x, WORDS[x.dtype.itemsize])


def checksums(
    specs: Sequence[P], mesh: Mesh
) -> Callable[[Sequence[Array]], UInt32[Array, "leaves data fsdp tensor"]]:
    """(arrays) -> the checksum of what each device of the mesh holds of each of them; compiled.

    specs: how the arrays are split.
    """
    names = mesh.axis_names

    def own(*parts: Array) -> Array:
        sums = jnp.stack([checksum(part) for part in parts])
        return sums.reshape(-1, *(1,) * len(names))

    # Each device reads its own copy, which no sharding rule would have it do: hence the map.
    everywhere = jax.shard_map(
        own, mesh=mesh, in_specs=tuple(specs), out_specs=P(None, *names), check_vma=False
    )
    compiled = jax.jit(lambda leaves: everywhere(*leaves))
    return lambda leaves: compiled(list(leaves))


def differences(
    sums: UInt32[np.ndarray, "leaves data fsdp tensor"], specs: Sequence[P], mesh: Mesh,
    paths: Sequence[str],
) -> list[Difference]:  # fmt: skip
    """The copies that are not what most copies of the same part are.

    specs: how each leaf is split: devices that differ only in axes which it is not split over hold
      copies of one part.
    """
    found = []
    for of_leaf, spec, path in zip(sums, specs, paths, strict=True):
        copies = tuple(i for i, name in enumerate(mesh.axis_names) if name not in _axes(spec))
        if not np.any(np.ptp(of_leaf, copies)):  # nearly always, and soon asked of 1000 devices
            continue
        for part in _parts(mesh, spec):
            values = Counter(int(of_leaf[place]) for place in part)
            if len(values) < 2:
                continue
            (usual, most), (_, next_most) = values.most_common(2)
            sure = most > next_most
            for place in part:
                if not sure or int(of_leaf[place]) != usual:
                    device = mesh.devices[place]
                    found.append(Difference(path, str(device), device.process_index, sure))
    return found


def _axes(spec: P) -> set[str]:
    """The axes of the mesh that an array is split over."""
    return {name for axes in spec if axes for name in ((axes,) if isinstance(axes, str) else axes)}


def _parts(mesh: Mesh, spec: P) -> list[list[tuple[int, ...]]]:
    """Places in the mesh that hold the same part of an array, for each part."""
    split = _axes(spec)
    parts: dict[tuple, list[tuple[int, ...]]] = {}
    for place in itertools.product(*(range(size) for size in mesh.devices.shape)):
        key = tuple(i for i, name in zip(place, mesh.axis_names, strict=True) if name in split)
        parts.setdefault(key, []).append(place)
    return list(parts.values())


def compare(shardings: Any, mesh: Mesh) -> Callable[[Sequence[Array]], list[Difference]]:
    """(leaves) -> what differs among copies of them; all processes must ask together.

    shardings: a tree of NamedShardings, whose leaves are those of the arrays.
    """
    named = trees.named_leaves(shardings)
    paths, specs = [path for path, _ in named], [one.spec for _, one in named]
    sums = checksums(specs, mesh)

    def found(leaves: Sequence[Array]) -> list[Difference]:
        values = sums(leaves)
        if jax.process_count() > 1:
            values = multihost_utils.process_allgather(values, tiled=True)
        return differences(np.asarray(values), specs, mesh, paths)

    return found
