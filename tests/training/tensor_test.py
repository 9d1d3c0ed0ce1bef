"""Layers, tables and words split over an axis `tensor`, beside data and fsdp, as on one device."""

import jax
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import assemble

CUBE = {"data": 2, "fsdp": 2, "tensor": 2}


@pytest.mark.parametrize(
    "method", ["clip", *(pytest.param(name, marks=pytest.mark.slow) for name in ("m3i", "dino"))]
)
def test_value_and_gradient_are_those_of_one_device(
    method, shrunk, batch, grads, distance, one_device, monkeypatch
):
    monkeypatch.setattr(sharding, "SMALL", 2**7)  # so that toys are split, too
    mesh, devices = one_device
    one = assemble(shrunk(method, mesh=mesh), images=100, devices=devices)
    many = assemble(shrunk(method, mesh=CUBE), images=100)
    state, loss, right = grads(one, batch)
    _, found_loss, found = grads(many, batch, jax.device_get(state))
    split = [str(s.spec) for _, s in trees.named_leaves(many.shardings.params)]
    assert sum("tensor" in spec for spec in split) >= 6
    # float32 sums in another order: 2⁻²³ of each of some hundreds, and a gradient is a difference.
    np.testing.assert_allclose(found_loss, loss, rtol=1e-6)
    assert distance(found, right) <= 1e-5
