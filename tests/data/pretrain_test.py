"""Sources of files feed a run: real files, two steps of training, a finite loss."""

import math
import shutil
import zipfile

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data.sources import manifest
from m3i_jax.training import log
from m3i_jax.training.session import train
from tests.drawn_records import NAMES, drawn, samples, tar

RECORDS = drawn(12)
LABELS = [record.label for record in RECORDS]


def tar_shards(root):
    for n in range(2):
        tar(root / f"train-{n}.tar", samples(RECORDS[n::2], start=n))
    return {"root": str(root)}


def parquet(root):
    pytest.importorskip("pyarrow")
    from tests.data.sources.parquet_test import write

    write(root / "data" / "train-00000-of-00001.parquet", RECORDS)
    return {"root": str(root)}


def hf_dataset(root):
    pytest.importorskip("pyarrow")
    from tests.data.sources.hf_dataset_test import write

    write(root / "train", RECORDS)
    return {"root": str(root)}


def array_record(root):
    pytest.importorskip("array_record")
    from tests.data.sources.array_record_test import shards

    root.mkdir()
    train = shards(root, "train", RECORDS)
    manifest.write(root, manifest.Manifest(NAMES, {"train": train}))
    return {"root": str(root)}


def tfds(root):
    pytest.importorskip("tensorflow_datasets")
    from tests.data.sources.tfds_test import prepare

    root.mkdir()
    return {"root": str(prepare(root, {"train": RECORDS}))}


def arrays(root):
    root.mkdir()
    np.savez(root / "train.npz", images=[r.pixels[:, :12] for r in RECORDS], labels=LABELS)
    return {"root": str(root)}


def image_folder(root):
    root.mkdir()
    with zipfile.ZipFile(root / "x.zip", "w") as file:
        for n, record in enumerate(RECORDS):
            file.writestr(f"train/{record.name}/{n}.png", record.png)
    return {"root": str(root / "x.zip")}


WRITE = (image_folder, tar_shards, parquet, hf_dataset, array_record, tfds, arrays)
WRITERS = {write.__name__: write for write in WRITE}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_two_steps(name, tmp_path, shrunk):
    block = {"name": name, **WRITERS[name](tmp_path / "data")}
    steps = {"duration": "2 steps", "warmup": "1 steps", "checkpoint.every": 2}
    config = shrunk("classification", data=block, **steps, **{"towers.category.size": 3})
    assert train(config, tmp_path / "run") == 0
    losses = [line["train/loss"] for line in log.read(tmp_path / "run" / log.METRICS)]
    assert len(losses) == 2 and all(map(math.isfinite, losses))


@pytest.mark.slow
def test_a_mixture_goes_on_with_other_weights(tmp_path, shrunk, caplog):
    """M3I on images with labels and on images with captions."""
    caplog.set_level("INFO")
    of = {
        "labels": {"name": "arrays", **arrays(tmp_path / "labels"), "weight": 1},
        "texts": {"name": "tar_shards", **tar_shards(tmp_path / "texts"), "weight": 1},
    }
    of["texts"]["without"] = "labels"
    steps = {"duration": "4 steps", "warmup": "1 steps", "checkpoint.every": 1}

    def run(weight, **texts):
        labels, others = of["labels"] | {"weight": weight}, of["texts"] | texts
        data = {"name": "mixture", "of": {"labels": labels, "texts": others}}
        config = shrunk("m3i", data=data, **steps, **{"towers.category.size": 3})
        assert train(config, tmp_path / "run") == 0
        with Checkpoints(place.folder(tmp_path / "run"), keep=2) as kept:
            return config.batch, kept.meta(4)["data"]

    batch, state = run(1)
    assert state == {"sample": 4 * batch, "segments": [[0, {"labels": 1, "texts": 1}]]}
    shutil.rmtree(place.folder(tmp_path / "run") / "4")
    with pytest.raises(ConfigError, match="data.of.texts.root was"):
        tar_shards(tmp_path / "others")
        run(1, root=str(tmp_path / "others"))
    _, state = run(3)
    assert state["segments"][1:] == [[3 * batch, {"labels": 3, "texts": 1}]]
    assert f"from sample {3 * batch} on the mixture is drawn by weights of labels 3" in caplog.text
    lines = log.read(tmp_path / "run" / log.METRICS)
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(math.isfinite(line["train/loss"]) for line in lines)
