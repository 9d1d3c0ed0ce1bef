"""Every kind of source feeds a run: real files, two steps of training, a finite loss."""

import json
import math

import pytest

from m3i_jax.data import SOURCES
from m3i_jax.training.session import train
from tests.drawn_records import drawn, samples, tar

RECORDS = drawn(12)


def tar_shards(root):
    for n in range(2):
        tar(root / f"train-{n}.tar", samples(RECORDS[n::2], start=n))
    return {"root": str(root)}


def parquet(root):
    pytest.importorskip("pyarrow")
    from tests.data.sources.parquet_test import write

    write(root / "data" / "train-00000-of-00001.parquet", RECORDS)
    return {"root": str(root)}


WRITERS = {write.__name__: write for write in (tar_shards, parquet)}
ELSEWHERE = {"digit_scenes", "image_folder", "fashion_mnist", "mnist"}  # trained on in other tests


def test_every_source_is_trained_on():
    assert WRITERS.keys() | ELSEWHERE == SOURCES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_two_steps(name, tmp_path, shrunk):
    block = {"name": name, **WRITERS[name](tmp_path / "data")}
    steps = {"duration": "2 steps", "warmup": "1 step", "checkpoint.every": 2}
    config = shrunk("classification", data=block, **steps)
    assert train(config, tmp_path / "run") == 0
    rows = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [math.isfinite(row["loss"]) for row in rows if "loss" in row] == [True, True]
