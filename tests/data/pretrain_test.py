"""Sources of files feed a run: real files, two steps of training, a finite loss."""

import math
import zipfile

import numpy as np
import pytest

from m3i_jax.training import log
from m3i_jax.training.session import train
from tests.drawn_records import drawn, samples, tar

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


WRITERS = {write.__name__: write for write in (image_folder, tar_shards, parquet, arrays)}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_two_steps(name, tmp_path, shrunk):
    block = {"name": name, **WRITERS[name](tmp_path / "data")}
    steps = {"duration": "2 steps", "warmup": "1 steps", "checkpoint.every": 2}
    config = shrunk("classification", data=block, **steps, **{"towers.category.size": 3})
    assert train(config, tmp_path / "run") == 0
    losses = [line["train/loss"] for line in log.read(tmp_path / "run" / log.METRICS)]
    assert len(losses) == 2 and all(map(math.isfinite, losses))
