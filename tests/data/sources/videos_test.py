"""Folders of videos as a source of pairs."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.data.sources.gone import Gone
from tests.data.sources.dense_files import SIZE
from tests.data.sources.video_files_test import clip


def source(root, split="train", **block):
    return data.source({"name": "videos", "root": str(root), **block}, split=split)


def test_pairs_of_files(tmp_path, caplog):
    for split in ("train", "val"):
        clip(tmp_path / split / "one", 4), clip(tmp_path / split / "two", 2)
    clip(tmp_path / "train" / "bad", 2, rows=["1,2,3,4"] * 3)
    with caplog.at_level("INFO"):
        train = source(tmp_path, gap=1)
    assert "2 videos, whose objects are seen in 6 frames" in caplog.text
    assert "left out 1 videos: 'bad'" in caplog.text
    test = source(tmp_path, "test", length=50)
    assert (len(train), len(test)) == (6, 50) and train.on_disk
    sample, (video, template, search) = train[0], train.drawn(0)
    assert sample.image.shape == (*SIZE, 3) and sample.other.image.shape == (*SIZE, 3)
    np.testing.assert_allclose(sample.box, [2, 1.5 + search, 4, 8])
    np.testing.assert_allclose(sample.other.box, [2, 1.5 + template, 4, 8])
    np.testing.assert_array_equal(train.frame(video, search), sample.image)
    dark = train.decoded_by(lambda own: lambda encoded: own(encoded) // 2)
    np.testing.assert_array_equal(dark[0].image, sample.image // 2)
    before = train.contents()["contents"]
    (tmp_path / "train/one/00000001.jpg").write_bytes(b"x")
    assert source(tmp_path).contents()["contents"] != before
    with pytest.raises(ValueError, match="00000001.jpg': its content is no"):
        train.frame(train.videos.index(next(v for v in train.videos if v.name == "one")), 0)
    (tmp_path / "train").rename(tmp_path / "away")
    tmp_path.rename(tmp_path.with_name("gone"))
    with pytest.raises(Gone):
        train[0]
    tmp_path.with_name("gone").rename(tmp_path)
