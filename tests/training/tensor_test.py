"""Layers, tables and words split over an axis `tensor`, beside data and fsdp, as on one device."""

import jax
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import assemble
from m3i_jax.training.planning import plan

CUBE = {"data": 2, "fsdp": 2, "tensor": 2}
# What ViTs have had since: SwiGLU, rotated and normalised queries and keys, registers, LayerScale.
NEWER = dict(positions="rope", qk_norm="rms", gated=True, activation="silu", registers=2)
NEWER = {f"encoder.{key}": value for key, value in (NEWER | {"layer_scale": 0.1}).items()}
# What has words, and how `m3i plan` says that it is split.
WORDS = {
    "clip": "encoders/text/token_embed 512 over fsdp+tensor x 64",
    "cappa": "decoders/caption/head/kernel 64 over fsdp x 512 over tensor",
    "m3i": "encoders/text/token_embed 512 over fsdp+tensor x 64",
    "dino": "",
}


@pytest.mark.parametrize(
    "method", ["clip", *(pytest.param(n, marks=pytest.mark.slow) for n in ("cappa", "m3i", "dino"))]
)
def test_value_and_gradient_are_those_of_one_device(
    method, shrunk, batch, grads, distance, one_device, monkeypatch
):
    monkeypatch.setattr(sharding, "SMALL", 2**7)  # so that toys are split, too
    mesh, devices = one_device
    changes = NEWER if method in ("clip", "cappa") else {}
    one = assemble(shrunk(method, mesh=mesh, **changes), images=100, devices=devices)
    many = assemble(shrunk(method, mesh=CUBE, **changes), images=100)
    state, loss, right = grads(one, batch)
    _, found_loss, found = grads(many, batch, jax.device_get(state))
    split = [str(s.spec) for _, s in trees.named_leaves(many.shardings.params)]
    assert sum("tensor" in spec for spec in split) >= 6
    assert WORDS[method] in " ".join(" ".join(plan.split_over_devices(many)).split())
    # float32 sums in another order: 2⁻²³ of each of some hundreds, and a gradient is a difference.
    np.testing.assert_allclose(found_loss, loss, rtol=1e-6)
    assert distance(found, right) <= 1e-5
