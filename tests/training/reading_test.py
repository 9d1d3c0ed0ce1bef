"""One reader for training and evaluation: the same key, the same report."""

import json

import numpy as np
import pytest
from PIL import Image

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from m3i_jax.training import reading
from m3i_jax.training.config import Config


@pytest.fixture
def config(tmp_path):
    for name in (
        "train/cat/1",
        "train/cat/2",
        "train/dog/1",
        "val/cat/1",
        "val/dog/1",
        "val/dog/2",
    ):
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(path)
    plain = cli.load("digit_scenes/mae").to_dict()
    return Config.of(plain | {"data": dict(name="image_folder", root=str(tmp_path / "data"))})


def test_both_splits_forgive_alike_and_list_in_one_file(config, tmp_path):
    for split, file in (("train", "train/cat/2.png"), ("test", "val/dog/1.png")):
        (tmp_path / "data" / file).write_bytes(b"")
        source = reading.read(config, tmp_path / "run", split=split)
        assert source.read(1) is None and len(source) == 3
        assert source[1].label == 1 and source.classes == ("cat", "dog")
    lines = (tmp_path / "run" / "unreadable.txt").read_text().splitlines()
    assert [json.loads(line)["split"] for line in lines] == ["train", "test"]
    assert json.loads(lines[1])["reason"].endswith("val/dog/1.png': the file is empty")
    (tmp_path / "data" / "val/cat/1.png").write_bytes(b"<html>")
    source = reading.read(config, tmp_path / "run", split="test", classes=("cat", "dog"))
    with pytest.raises(TooManyUnreadable, match="2 of 3 records of the test split") as met:
        source.survey()
    assert "BytesIO" not in str(met.value) and "is no JPEG, PNG" in str(met.value)


def test_the_share_is_checked(config, tmp_path):
    with pytest.raises(ConfigError, match="unreadable is 2"):
        reading.read(Config.of(config.to_dict() | {"unreadable": 2.0}), tmp_path, split="train")
