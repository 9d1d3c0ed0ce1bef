"""Images of both splits are found by their files and by their bytes, at a bounded cost."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.data.sources import overlap


def put(root, *names):
    """An image of its own for every name."""
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2, 3), i, np.uint8)).save(root / name, format="PNG")
    return root


@pytest.fixture
def apart(tmp_path):
    return put(tmp_path, "train/a/1.png", "train/b/2.png", "val/a/3.png", "val/b/4.png")


def test_splits_that_share_nothing_are_not_spoken_of(apart):
    block = {"name": "image_folder", "root": str(apart)}
    assert data.source(block, split="test").account.warnings == ()


@pytest.mark.parametrize("how", ["hard link", "symbolic link", "copy"])
def test_an_image_of_both_splits_is_counted_and_named(apart, how, caplog):
    source, target = apart / "train/a/1.png", apart / "val/a/5.png"
    if how == "hard link":
        os.link(source, target)
    elif how == "symbolic link":
        target.symlink_to(source)
    else:
        target.write_bytes(source.read_bytes())
    block = {"name": "image_folder", "root": str(apart)}
    test = data.source(block, split="test", classes=("a", "b"))
    (said,) = test.account.warnings
    assert said.startswith("1 of 3 test images that were looked at are training images, too, as '")
    assert f"'{target}' is '{source}'" in said
    assert [r.levelname for r in caplog.records if said in r.getMessage()] == ["WARNING"]
    assert data.source(block, split="train").account.warnings == ()


def test_what_is_read_is_bounded(tmp_path, monkeypatch):
    files = [tmp_path / f"{i}.bmp" for i in range(40)]
    for i, file in enumerate(files):
        file.write_bytes(bytes([i]) * 1000)
    twin = tmp_path / "twin.bmp"
    twin.write_bytes(files[7].read_bytes())
    assert "as '" in overlap.warning(files, [twin])
    monkeypatch.setattr(overlap, "READ", 40_999)  # 40 files and the one
    assert overlap.warning(files, [twin]) == ""
    os.mkfifo(pipe := tmp_path / "pipe.png")
    start = time.monotonic()
    assert overlap.warning([pipe, tmp_path / "gone"], [pipe]) == ""  # and waits for nobody
    assert time.monotonic() - start < 1


def test_of_large_splits_a_part_is_looked_at(tmp_path, monkeypatch):
    put(tmp_path, *(f"{i}.png" for i in range(60)))
    files = sorted(tmp_path.iterdir())
    monkeypatch.setattr(overlap, "TESTED", 10)
    assert overlap.warning(files, files).startswith("10 of 10 test images that were looked at")
