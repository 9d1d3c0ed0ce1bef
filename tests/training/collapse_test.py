"""Broken variants collapse and raise the alarm within 500 steps; healthy ones never do."""

import pathlib

import jax
import pytest

from m3i_jax import cli, data, methods
from m3i_jax import framework as fw
from m3i_jax.data import pipeline
from m3i_jax.data.views import crops
from m3i_jax.parallel import sharding
from m3i_jax.training import health, run
from m3i_jax.training.config import Config

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
STEPS, EVERY = 500, 20


def negatives_removed():
    method = methods.simclr()
    terms = {n: t._replace(predict=fw.cosine()) for n, t in method.terms.items()}
    return fw.Method(method.codes, terms)


BROKEN = {
    "stop-gradient removed": ("byol", lambda: methods.byol(fw.online(heads="projector"))),
    "negatives removed": ("simclr", negatives_removed),
    "centring off": ("dino", lambda: methods.dino(local=2, centring=False)),
}


def alarms(monkeypatch, name, *, method=None, seed=0):
    """Steps at which a tiny run on real digit scenes raises the alarm."""
    config = cli.load(str(CONFIGS / f"{name}_digit_scenes.py")).to_dict()
    config["encoder"] = dict(config["encoder"], width=64, depth=1, heads=2)
    config.update(duration=f"{STEPS} steps", seed=seed)
    config["data"]["length"] = 4096
    # Assignments need many prototypes, and views that differ, to be healthy; the others do not.
    if name != "dino":
        config.update(batch=32, augment={})
        for block in config["decoders"].values():
            block.update(hidden=64)
    if method is not None:
        monkeypatch.setattr(run, "objective", lambda config, *, steps=None: method())
    config = Config.of(config)
    source = data.source(config.data, split="train")
    made = run.assemble(config, images=len(source), devices=jax.devices()[:1])
    views, local = crops.split_views(made.method.sources)
    cut = crops.Crops(size=config.image, views=views, local=local, **config.crops)
    leaves, advance, look = jax.tree.leaves(made.create()), made.compiled(), health.watch()
    seen = []
    with pipeline.batches(source, batch=config.batch, seed=seed, crops=cut) as stream:
        with jax.set_mesh(made.mesh):
            for step in range(1, STEPS + 1):
                leaves, metrics = advance(leaves, sharding.put(next(stream)[0], made.mesh))
                if step % EVERY == 0 and look(step, jax.device_get(metrics))["health/alarm"]:
                    seen.append(step)
                    break
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("variant", BROKEN)
def test_a_broken_variant_raises_the_alarm(variant, monkeypatch):
    name, method = BROKEN[variant]
    assert alarms(monkeypatch, name, method=method)


HEALTHY = [*(("byol", seed) for seed in range(5)), ("simclr", 0), ("dino", 0)]


@pytest.mark.slow
@pytest.mark.parametrize("name, seed", HEALTHY)
def test_healthy_runs_raise_none(name, seed, monkeypatch):
    assert not alarms(monkeypatch, name, seed=seed)
