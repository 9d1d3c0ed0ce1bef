"""What docs/extending.md adds, used as its reader would; `extending_test` runs it where it is."""

import math

import numpy as np
import pytest

from m3i_jax import cli, data
from m3i_jax.commands import evaluate
from m3i_jax.commands import list as listing
from m3i_jax.evaluation import tasks
from m3i_jax.training import log
from m3i_jax.training.config import Config
from m3i_jax.training.session import train
from tests.evaluation.toy_features import evaluation, tables


@pytest.mark.parametrize(
    "kind, name",
    [
        ("methods", "siamese_layers"),
        ("methods", "robust_mae"),
        ("configs", "digit_scenes/simmim_mixer"),
        ("encoders", "mixer_s16"),
        ("sources", "cifar"),
        ("tasks", "class_mean"),
    ],
)
def test_it_is_listed(kind, name, capsys):
    listing.main(kind, name)
    assert capsys.readouterr().out.startswith(f"{name}  ")


@pytest.fixture
def numbers(tmp_path):
    """A folder with a data set of CIFAR-10's form."""
    rng = np.random.default_rng(0)
    for name, count in (("data_batch_1", 24), ("test_batch", 8)):
        records = rng.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(count) % 3
        records.tofile(tmp_path / f"{name}.bin")
    (tmp_path / "batches.meta.txt").write_text("cat dog emu")
    return str(tmp_path)


def test_the_source_yields_samples(numbers):
    source = data.source({"name": "cifar", "root": numbers}, split="test")
    sample = source[4]
    assert len(source) == 8 and sample.label == 1 and sample.image.shape == (32, 32, 3)


SCENES = {"name": "digit_scenes", "length": 40}
LION = {"name": "lion", "lr": 1e-4}


@pytest.mark.parametrize("config", ["siamese_layers", "robust_mae", "simmim_mixer"])
def test_it_trains(config, numbers, tmp_path):
    """Three steps of each config; the encoder's with the optimiser, on the data of the source."""
    chosen = cli.load(f"digit_scenes/{config}").to_dict()
    chosen.update(image=16, batch=8, duration="3 steps", warmup="1 steps", data=SCENES)
    chosen["encoder"].update(width=32, depth=2)
    if config == "simmim_mixer":
        chosen.update(data={"name": "cifar", "root": numbers}, optimizer=LION)
    for decoder in chosen["decoders"].values():
        decoder.update({k: v for k, v in dict(width=32, depth=1, heads=2).items() if k in decoder})
    chosen["log"], chosen["monitor"] = dict(every=1, images=0), dict(every=0)
    chosen["checkpoint"] = dict(every=3, keep=2)
    assert train(Config.of(chosen), tmp_path / "run") == 0
    losses = [line["train/loss"] for line in log.read(tmp_path / "run" / log.METRICS)]
    assert len(losses) == 3 and all(map(math.isfinite, losses))


def test_the_task_measures_features():
    (task,) = tasks.create(evaluate.parsed("class_mean"), what="--task")
    train_set, test_set = tables()
    assert 0.4 < task.measure(evaluation(train_set, test_set)).metrics[task.headline] <= 1
