"""Broken variants collapse and raise the alarm within 500 steps; healthy ones never do."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import pytest

from m3i_jax import cli, data, methods
from m3i_jax import framework as fw
from m3i_jax.data.batches import batches
from m3i_jax.data.views import crops
from m3i_jax.parallel import sharding
from m3i_jax.training import assemble, health
from m3i_jax.training.config import Config

STEPS, EVERY = 500, 20
# Steps are many here, so that machine code pays which other tests do without.
OPTIMISED = {"xla_backend_optimization_level": 2}


def negatives_removed():
    method = methods.simclr()
    terms = {n: t._replace(predict=fw.cosine()) for n, t in method.terms.items()}
    return fw.Method(method.codes, terms)


BROKEN = {
    "stop-gradient removed": ("byol", lambda: methods.byol(fw.online(heads="projector"))),
    "negatives removed": ("simclr", negatives_removed),
    "centring off": ("dino", lambda: methods.dino(local=2, centring=False)),
}


class Remembered:
    """A source whose records are made once: epochs and seeds look at the same scenes."""

    def __init__(self, source):
        self.source, self.take = source, functools.cache(source.__getitem__)

    def __getitem__(self, index):
        return self.take(int(index))

    def __len__(self):
        return len(self.source)

    def __getattr__(self, name):
        return getattr(self.source, name)


@functools.cache
def scenes():
    """Real digit scenes, the same for every run of this file."""
    config = cli.load("digit_scenes/byol")
    return Remembered(data.source(dict(config.data, length=4096), split="train"))


class Tiny(NamedTuple):
    """A run, where its batches come from, and its step, compiled for every seed."""

    run: assemble.Run
    crops: crops.Crops
    advance: Callable[..., Any]


def seeded(made, seed):
    return made._replace(config=replace(made.config, seed=seed))


@functools.cache
def tiny(name, method=None):
    """A tiny run of a config: `advance(leaves, batch, seed)` is its step under any seed."""
    config = cli.load(f"digit_scenes/{name}").to_dict()
    config["encoder"] = dict(config["encoder"], width=64, depth=1, heads=2)
    config.update(duration=f"{STEPS} steps", log=dict(every=EVERY))
    # Assignments need many prototypes, and views that differ, to be healthy; the others do not.
    if name != "dino":
        config.update(batch=32, augment={})
        for block in config["decoders"].values():
            block.update(hidden=64)
    with pytest.MonkeyPatch.context() as patched:
        if method is not None:
            patched.setattr(assemble, "objective", lambda config, **how: method())
        one = dict(images=len(scenes()), devices=jax.devices()[:1])
        made = assemble.assemble(Config.of(config), **one)
    treedef = jax.tree.structure(made.abstract)

    def advance(leaves, batch, seed):
        state, metrics = seeded(made, seed).step()(jax.tree.unflatten(treedef, leaves), batch)
        return jax.tree.leaves(state), metrics

    step = jax.jit(advance, donate_argnums=0, compiler_options=OPTIMISED)
    views, local = crops.split_views(made.method.sources)
    cut = crops.Crops(size=made.config.image, views=views, local=local, **made.config.crops)
    return Tiny(made, cut, step)


def alarms(name, *, method=None, seed=0):
    """Steps at which a tiny run on real digit scenes raises the alarm."""
    made, cut, advance = tiny(name, method)
    leaves, look, seen = jax.tree.leaves(seeded(made, seed).create()), health.watch(), []
    with batches(scenes(), batch=made.config.batch, seed=seed, crops=cut) as stream:
        with jax.set_mesh(made.mesh):
            for step in range(1, STEPS + 1):
                given = sharding.put(next(stream)[0], made.mesh)
                leaves, metrics = advance(leaves, given, seed)
                if step % EVERY == 0 and look(step, jax.device_get(metrics))["health/alarm"]:
                    seen.append(step)
                    break
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("variant", BROKEN)
def test_a_broken_variant_raises_the_alarm(variant):
    name, method = BROKEN[variant]
    assert alarms(name, method=method)


HEALTHY = [*(("byol", seed) for seed in range(3)), ("simclr", 0), ("dino", 0)]


@pytest.mark.slow
@pytest.mark.parametrize("name, seed", HEALTHY)
def test_healthy_runs_raise_none(name, seed):
    assert not alarms(name, seed=seed)
