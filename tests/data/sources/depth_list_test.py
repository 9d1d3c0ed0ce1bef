"""Depth of NYU's and KITTI's lists and of folders: metres, and what is missing is said."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import depth_list
from m3i_jax.data.sources.protocol import NoSplit
from tests.data.sources.dense_files import SIZE, image, plane, written

MILLIMETRES = np.arange(48, dtype=np.uint16).reshape(SIZE) * 100


def source(root, split="train", **block):
    return data.source({"name": "depth_list", "root": str(root), **block}, split=split)


def test_nyu(tmp_path):
    for n in range(2):
        image(tmp_path / f"kitchen/rgb_{n}.jpg", n)
        plane(tmp_path / f"kitchen/sync_depth_{n}.png", MILLIMETRES + 9 * n)
    lines = [f"/kitchen/rgb_{n}.jpg /kitchen/sync_depth_{n}.png 518.8579" for n in range(2)]
    written(tmp_path / "nyudepthv2_train_files_with_gt.txt", [*lines, ""])
    written(tmp_path / "nyudepthv2_test_files_with_gt.txt", lines[1:])
    train, test = source(tmp_path), source(tmp_path, "test")
    assert (len(train), len(test)) == (2, 1) and isinstance(train, data.Source)
    np.testing.assert_allclose(train[0].depth, MILLIMETRES * 1e-3, rtol=1e-6)
    assert train[0].depth.dtype == np.float32 and train[0].depth[0, 0] == 0  # not measured
    assert train.fingerprint() != source(tmp_path, factor=0.01).fingerprint()
    plane(tmp_path / "kitchen/sync_depth_1.png", MILLIMETRES[:3])
    with pytest.raises(ValueError, match=r"rgb_1.jpg': its depth is float32 of \(3, 8\)"):
        train[1]
    image(tmp_path / "kitchen/sync_depth_0.png")
    with pytest.raises(ValueError, match="sync_depth_0.png': its mask or depth cannot be read"):
        train[0]


def test_kitti(tmp_path, caplog):
    for day in ("2011_09_26", "2011_09_28"):
        image(tmp_path / f"raw/{day}/image_02/0.png")
    plane(tmp_path / "gt/2011_09_26/image_02/0.png", MILLIMETRES)
    lines = [
        "2011_09_26/image_02/0.png 2011_09_26/image_02/0.png 721.5377",
        "2011_09_28/image_02/0.png None 721.5377",
        "2011_09_28/image_02/0.png 2011_09_28/image_02/0.png 721.5377",
    ]
    written(tmp_path / "lists/eigen_train.txt", lines)
    how = dict(images="raw", depths="gt", lists="lists/eigen_{split}.txt", factor=1 / 256)
    found = source(tmp_path, **how)
    assert len(found) == 1
    np.testing.assert_allclose(found[0].depth, MILLIMETRES / 256)
    assert "left out 1 images without a depth" in caplog.text
    assert "left out 1 images whose depth is missing" in caplog.text
    with pytest.raises(NoSplit, match="no list '.*eigen_test.txt' of the test split"):
        source(tmp_path, "test", **how)
    for line, why in (("a.png", "is 'a.png', expected image depth"),
                      ("../a b", "'../a', which leads out of the folder"),
                      (lines[1], "names no image whose depth is there$"),
                      (lines[2], "there is no '.*2011_09_28")):  # fmt: skip
        written(tmp_path / "lists/eigen_train.txt", [line])
        with pytest.raises(ConfigError, match=why):
            source(tmp_path, **how)


def test_a_list_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ConfigError, match="train.txt' cannot be read"):
        source(tmp_path)
    written(tmp_path / "train.txt", ["a.png b.png"])
    monkeypatch.setattr(depth_list, "MOST", 5)
    with pytest.raises(ConfigError, match="has more than 5 bytes, which no list has"):
        source(tmp_path)


def test_folders_and_lists_that_are_not_clear(tmp_path):
    for split in ("train", "test"):
        image(tmp_path / "images" / split / "x.png")
        plane(tmp_path / "depth" / split / "x.png", MILLIMETRES)
    assert len(source(tmp_path)) == len(source(tmp_path, "test")) == 1
    written(tmp_path / "a_train.txt", ["images/train/x.png depth/train/x.png"])
    assert len(source(tmp_path)) == 1
    with pytest.raises(NoSplit, match="has no list of the test split, but others"):
        source(tmp_path, "test")
    written(tmp_path / "b_train.txt", [])
    with pytest.raises(ConfigError, match="has the lists 'a_train.txt', 'b_train.txt'; say which"):
        source(tmp_path)
