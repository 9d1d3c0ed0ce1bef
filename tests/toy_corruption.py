"""Checkpoints of tiny runs of CIM, one per task of its enhancer."""

import jax
import pytest

from m3i_jax import cli
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config


@pytest.fixture(scope="session")
def corrupting(tmp_path_factory):
    """corrupting(task) -> work directory of CIM before its first step, on words of no meaning."""
    made = {}

    def save(task):
        if task not in made:
            config = cli.load(f"digit_scenes/cim:{task}").to_dict()
            config.update(image=16, batch=8, duration="3 steps", warmup="1 steps")
            for block in (config["encoder"], *config["towers"].values()):
                block.update(width=32, depth=2, heads=2)
            config["decoders"]["bottleneck"].update(hidden=16, out=8)
            config["decoders"]["painter"].update(width=32, heads=2)
            config["objective"]["vocabulary"] = 6
            config["weights"]["tokenizer"]["path"] = "untrained"
            config["data"]["length"] = 60
            config["mesh"] = dict(data=1, fsdp=1)
            config = Config.of(config)
            state = assemble(config, images=60, devices=jax.devices()[:1]).create()
            made[task] = tmp_path_factory.mktemp("cim") / task
            with Checkpoints(made[task] / "checkpoints") as kept:
                kept.save(7, state.items(), {"config": config.to_dict()}, wait=True)
        return made[task]

    return save
