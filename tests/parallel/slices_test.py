"""Slices are the outer part of the axis `data`, as JAX's own hybrid mesh has them."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax.experimental.mesh_utils import create_hybrid_device_mesh

from m3i_jax.build import ConfigError
from m3i_jax.parallel import sharding, slices


def fake(counts):
    """Devices that say of which slice they are, in no order."""
    numbers = [i for i, count in enumerate(counts) for _ in range(count)]
    made = [
        SimpleNamespace(id=i, slice_index=number, process_index=i, platform="fake", device_kind="x")
        for i, number in enumerate(numbers)
    ]
    return [made[i] for i in np.random.default_rng(0).permutation(len(made))]


def test_as_the_hybrid_mesh_of_jax():
    devices = fake((8, 8))
    groups = slices.of(devices, 0)
    assert [{d.slice_index for d in group} for group in groups] == [{0}, {1}]
    found = slices.arranged((4, 2, 2), groups)
    np.testing.assert_array_equal(found, create_hybrid_device_mesh((2, 2, 2), (2, 1, 1), devices))


def test_those_that_say_nothing_are_grouped_in_their_order():
    mesh = sharding.mesh({"data": 4, "fsdp": 2, "slices": 2}, batch=8)
    ids = np.vectorize(lambda device: device.id)(mesh.devices)
    first = {device.id for device in jax.devices()[:4]}
    assert set(ids[:2].ravel()) == first and not first & set(ids[2:].ravel())
    assert dict(mesh.shape) == {"data": 4, "fsdp": 2, "tensor": 1}


@pytest.mark.parametrize(
    "block, message",
    [
        ({"data": 2, "fsdp": 4, "slices": 4}, "data is a multiple of 4"),
        ({"slices": 3}, "slices is 3, which does not divide 8 devices"),
        ({"slices": -1}, "slices"),
    ],
)
def test_slices_that_do_not_fit_say_why(block, message):
    with pytest.raises(ConfigError, match=message):
        sharding.mesh(block)


def test_devices_that_are_of_other_slices():
    with pytest.raises(ConfigError, match="slices is 3, but the devices are of 2"):
        slices.of(fake((2, 2)), 3)
    with pytest.raises(ConfigError, match="slices have 2, 4 devices"):
        slices.arranged((6, 1, 1), slices.of(fake((2, 4)), 0))
