"""Every kind of encoder under methods of every kind, and the pairs that are refused."""

from typing import NamedTuple

import jax
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.parallel import sharding
from m3i_jax.training import assemble as runs
from m3i_jax.training.assemble import assemble
from m3i_jax.training.state import TrainState

# Small enough to compile in seconds; a grid of 4 x 4 cells, or 2 x 2 (RepLKNet).
ENCODERS = {
    "vit": dict(name="vit_nano", patch=4, width=32, depth=2, heads=2, hide="mask"),
    "resnet": dict(name="resnet_nano", depths=(1, 1, 1), width=8),
    "swin_v2": dict(name="swin_v2_t", stride=2, width=16, depths=(2, 2), heads=(2, 4), window=2),
    "replknet": dict(name="replknet_nano", drop_path=0.1),
    "replknet lifted": dict(name="replknet_nano", lifted=8),
    "internimage": dict(name="internimage_t", width=16, depths=(1, 1), groups=1),
    "internimage fused": dict(
        name="internimage_h", width=16, depths=(1, 1), groups=1, post_norms=(), fused=32
    ),
}
METHODS = ("classification", "m3i images", "simmim")
BLIND = ("resnet", "replknet", "internimage", "internimage fused")


def config(shrunk, method, encoder, **changes):
    unit = {"objective.unit": 1} if method == "simmim" else {}
    return shrunk(method, encoder=ENCODERS[encoder], image=16, **unit, **changes)


def images(given, side):
    """The batch with images of another size."""
    rng = np.random.default_rng(1)
    fresh = {
        name: rng.integers(0, 256, (len(x), side, side, 3), dtype=np.uint8)
        for name, x in given.images.items()
    }
    return given._replace(images=fresh)


class Trained(NamedTuple):
    """The state before, behind the first and behind all steps, and their losses."""

    before: TrainState
    second: TrainState
    after: TrainState
    losses: list


def trained(run, given, *, start=None, steps=3):
    """A run that takes some steps on one batch, from its first state or from `start`.

    In the first step the rate is 0, in the second nothing behind a scale of 0 has a gradient.
    """
    state = run.create() if start is None else jax.device_put(start, run.shardings)
    treedef, losses = jax.tree.structure(run.abstract), []
    seen, given = [jax.device_get(jax.tree.leaves(state))], sharding.put(given, run.mesh)
    leaves, advance = jax.tree.leaves(state), run.compiled()
    with jax.set_mesh(run.mesh):
        for step in range(steps):
            leaves, metrics = advance(leaves, given)
            losses.append(float(metrics["train/loss"]))
            if step in (0, steps - 1):
                seen.append(jax.device_get(leaves))
    return Trained(*(jax.tree.unflatten(treedef, kept) for kept in seen), losses)


# The ViT is under every method elsewhere, and M3I over InternImage's fused map in shards, below.
OFTEN = (("resnet", "classification"), ("swin_v2", "simmim"))
ELSEWHERE = [("vit", method) for method in METHODS] + [("internimage fused", "m3i images")]
PAIRS = [
    pytest.param(encoder, method, marks=[] if (encoder, method) in OFTEN else pytest.mark.slow)
    for encoder in ENCODERS
    for method in METHODS
    if (encoder, method) not in ELSEWHERE and not (method == "simmim" and encoder in BLIND)
]


@pytest.mark.parametrize("encoder, method", PAIRS)
def test_a_step_moves_every_parameter(encoder, method, shrunk, batch, fits, one_device):
    mesh, devices = one_device
    run = assemble(config(shrunk, method, encoder, mesh=mesh), images=100, devices=devices)
    before, _, after, losses = trained(run, fits(run, images(batch, run.config.image)))
    assert np.isfinite(losses).all() and int(after.skipped) == 0
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before.params, after.params)
    still = [path for path, leaf in trees.named_leaves(moved) if not leaf]
    # A mask token that no row shows stays.
    assert [path for path in still if not path.endswith("mask_token")] == []


@pytest.mark.parametrize("encoder", BLIND)
@pytest.mark.parametrize("method", ["simmim", "mae"])
def test_convolutions_cannot_hide(encoder, method, shrunk):
    with pytest.raises(ConfigError, match="hides patches from .* a convolution over every pixel"):
        runs.check(config(shrunk, method, encoder))


# All of the billion's stages, its fused map and both of its norms, but narrow.
NARROW_H = dict(
    name="internimage_h", width=16, depths=(1, 1, 2, 1), groups=1, post_norms=(0,), fused=32
)
# Wide enough to have a matrix that is worth splitting.
WIDE = {
    "swin_v2": ENCODERS["swin_v2"] | dict(width=32),
    "resnet": ENCODERS["resnet"] | dict(width=16),
    "replknet": ENCODERS["replknet"] | dict(drop_path=0.0),
}
SHARDED = dict(data=2, fsdp=4)


def split(run):
    """The parameters of a run that no device has whole."""
    return [x for x in jax.tree.leaves(run.shardings.params) if not x.is_fully_replicated]


@pytest.mark.slow
@pytest.mark.parametrize("encoder", WIDE)
def test_eight_devices_equal_one(encoder, shrunk, batch, grads, distance, one_device):
    mesh, devices = one_device
    given, how = images(batch, 32), dict(encoder=WIDE[encoder], image=32)
    single = assemble(shrunk("classification", mesh=mesh, **how), images=100, devices=devices)
    many = assemble(shrunk("classification", mesh=SHARDED, **how), images=100)
    assert split(many), "nothing was sharded, so the comparison would show nothing"
    state, loss, found = grads(single, given)
    _, loss8, found8 = grads(many, given, state)
    np.testing.assert_allclose(loss8, loss, rtol=1e-5)
    assert distance(found8, found) <= 1e-5


def moments(state):
    """Adam's first moments: behind one step a tenth of the gradients."""
    return {p: x for p, x in trees.named_leaves(state.optimizer) if "/mu/" in p}


@pytest.mark.slow
def test_a_narrow_internimage_h_trains_in_shards(shrunk, batch, fits, distance, one_device):
    mesh, devices = one_device
    how = dict(encoder=NARROW_H, image=32)
    one = assemble(shrunk("m3i images", mesh=mesh, **how), images=100, devices=devices)
    many = assemble(shrunk("m3i images", mesh=SHARDED, **how), images=100)
    assert split(many), "nothing was sharded, so the comparison would show nothing"
    given = fits(one, images(batch, 32))
    right = trained(one, given)
    found = trained(many, given, start=right.before)
    np.testing.assert_allclose(found.losses[0], right.losses[0], rtol=1e-5)
    assert len(moments(right.second)) == len(jax.tree.leaves(one.abstract.params))
    assert distance(moments(found.second), moments(right.second)) <= 1e-5
    # The third loss is behind two updates by gradients.
    np.testing.assert_allclose(found.losses, right.losses, rtol=2e-5)
