"""A finished run, as small as they come."""

import pytest

from m3i_jax import cli
from m3i_jax.evaluation.monitor import monitor
from m3i_jax.training.config import Config
from m3i_jax.training.session import train


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A finished run of MAE, as small as they come, with its monitor."""
    config = cli.load("digit_scenes/mae").to_dict()
    config.update(image=16, batch=8, duration="8 steps", warmup="1 steps")
    config["encoder"].update(width=32, depth=1, heads=2, patch=4)
    config["decoders"]["image"].update(width=32, depth=1, heads=2)
    config["data"]["length"] = 60
    config["log"] = dict(every=1, images=0)
    config["checkpoint"] = dict(every=4, keep=2)
    config["monitor"] = dict(every=4, bank=24, queries=16)
    path = tmp_path_factory.mktemp("run") / "run"
    assert train(Config.of(config), path, watch=monitor) == 0
    return path
