"""Slices of devices: fast links within each, a slower network between them.

Each slice has a part of the axis `data`, the outer one, and what crosses the network is the sum of
the gradients alone; fsdp and tensor, which exchange something in every layer, stay within a slice.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.experimental import mesh_utils

from m3i_jax.build import ConfigError


def of(devices: Sequence[Any], count: int) -> list[list[Any]]:
    """The devices of each slice, in the order of their numbers.

    count: how many slices there have to be; 0 = as the devices say. Devices that all say the same,
      or nothing, are grouped in their order.

    Raises:
      ConfigError: the devices are of another number of slices, or do not make that many.
    """
    found: dict[int, list[Any]] = {}
    for device in devices:
        found.setdefault(getattr(device, "slice_index", 0), []).append(device)
    if len(found) > 1 or count <= 1:
        if count not in (0, len(found)):
            raise ConfigError(f"config.mesh.slices is {count}, but the devices are of {len(found)}")
        return [found[number] for number in sorted(found)]
    size, rest = divmod(len(devices), count)
    if rest:
        raise ConfigError(
            f"config.mesh.slices is {count}, which does not divide {len(devices)} devices"
        )
    return [list(devices[i * size :][:size]) for i in range(count)]


def arranged(shape: tuple[int, int, int], slices: Sequence[Sequence[Any]]) -> np.ndarray:
    """A grid (data, fsdp, tensor) of the devices of several slices, one after the other along data.

    Raises:
      ConfigError: slices are not of one size, or `data` is no multiple of their number.
    """
    data, fsdp, tensor = shape
    sizes = [len(devices) for devices in slices]
    if len(set(sizes)) > 1:
        raise ConfigError(
            f"slices have {', '.join(map(str, sizes))} devices, and need equally many"
        )
    if data % len(slices):
        raise ConfigError(
            f"config.mesh has data = {data}, fsdp = {fsdp}, tensor = {tensor} on {len(slices)} "
            f"slices; fsdp and tensor stay within one, so data is a multiple of {len(slices)}"
        )
    within = data // len(slices), fsdp, tensor
    return np.concatenate([mesh_utils.create_device_mesh(within, one) for one in slices])
