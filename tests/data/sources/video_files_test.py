"""GOT-10k's and LaSOT's folders: videos of a split, when objects are seen, what is broken."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import video_files
from m3i_jax.data.sources.protocol import NoSplit
from tests.data.sources.dense_files import image, written


def clip(folder, frames=3, *, inner="", rows=None, **labels):
    """Writes a video of a 4 x 8 object that goes to the right."""
    for n in range(frames):
        image(folder / inner / f"{n + 1:08d}.jpg", n)
    boxes = rows or [f"{1.5 + n},2,8,4" for n in range(frames)]
    written(folder / "groundtruth.txt", boxes)
    for name, lines in labels.items():
        written(folder / name.replace("_label", ".label").replace("_txt", ".txt"), lines)


@pytest.fixture
def got(tmp_path):
    for split in ("train", "val", "test"):
        names = [f"GOT-10k_{split}_{n:06d}" for n in (1, 2)]
        written(tmp_path / split / "list.txt", names)
        for name in names:
            rows = ["1.5,2,8,4"] if split == "test" else None
            clip(tmp_path / split / name, rows=rows)
    return tmp_path


@pytest.fixture
def lasot(tmp_path):
    for n in (1, 2, 3):
        clip(tmp_path / "cat" / f"cat-{n}", inner="img", full_occlusion_txt=["0,1,0"],
             out_of_view_txt=["0,0,1"])  # fmt: skip
    written(tmp_path / "training_set.txt", ["cat-1", "cat-3"])
    written(tmp_path / "testing_set.txt", ["cat-2"])
    return tmp_path


def test_got10k(got):
    train, test = video_files.found(got, "train"), video_files.found(got, "test")
    assert [one.name[-7:] for one in train.videos] == ["_000001", "_000002"]
    assert "val" in test.videos[0].name, "test has no boxes but the first"
    np.testing.assert_allclose(
        train.videos[0].corners, [[2, 1.5 + n, 6, 9.5 + n] for n in range(3)]
    )
    assert train.videos[0].corners.dtype == np.float32 and train.warnings == ()
    assert [file.name for file in train.frames[1]] == [f"0000000{n}.jpg" for n in (1, 2, 3)]
    labels = dict(absence_label=["0", "1", "0"], cover_label=["8", "5", "0"])
    clip(got / "train" / "GOT-10k_train_000001", **labels)
    assert video_files.found(got, "train").videos[0].seen.tolist() == [True, False, False]


def test_a_test_split_without_boxes_is_what_there_is(got):
    import shutil

    shutil.rmtree(got / "val")
    only = video_files.found(got, "test").videos[0]
    assert only.seen.tolist() == [True, False, False] and np.isnan(only.corners[1:]).all()


def test_lasot(lasot):
    train, test = video_files.found(lasot, "train"), video_files.found(lasot, "test")
    assert [one.name for one in train.videos] == ["cat-1", "cat-3"]
    assert [one.name for one in test.videos] == ["cat-2"]
    assert test.videos[0].seen.tolist() == [True, False, False]
    assert test.frames[0][0] == lasot / "cat/cat-2/img/00000001.jpg"


def test_folders_of_ones_own(tmp_path):
    clip(tmp_path / "one"), clip(tmp_path / "two")
    assert [one.name for one in video_files.found(tmp_path, "train").videos] == ["one", "two"]
    with pytest.raises(NoSplit, match="no test split: neither a folder"):
        video_files.found(tmp_path, "test")


def test_videos_whose_files_do_not_agree_are_left_out_and_named(tmp_path):
    clip(tmp_path / "a"), clip(tmp_path / "b", rows=["1,2,3,4"] * 2)
    clip(tmp_path / "c", rows=["1,2,3", "4,5,6,7", "x,1,2,3"])
    clip(tmp_path / "d", cover_label=["1", "1"])
    clip(tmp_path / "e", rows=["nan,nan,nan,nan"] * 3)
    found = video_files.found(tmp_path, "train")
    assert [one.name for one in found.videos] == ["a"]
    (said,) = found.warnings
    assert "left out 4 videos: 'b' (it has 3 frames and 2 boxes)" in said and "1 more" in said
    assert "'c' (groundtruth.txt: could not convert" in said
    assert "'d' (it has 3 frames, and cover.label 2 numbers)" in said


def test_boxes_of_three_numbers_or_of_infinite_ones_are_named(tmp_path):
    clip(tmp_path / "a"), clip(tmp_path / "b", rows=["1,2,3", "4,5,6", "7,8,9"])
    clip(tmp_path / "c", rows=["1,2,3,4", "1,2,inf,4", "1,2,3,4"])
    (said,) = video_files.found(tmp_path, "train").warnings
    assert "'b' (groundtruth.txt: 9 numbers, expected 4 of each frame)" in said
    assert "'c' (groundtruth.txt: it has numbers that are not finite)" in said


def test_no_video_that_can_be_read(tmp_path):
    clip(tmp_path / "b", rows=["1,2,3,4"] * 2)
    with pytest.raises(ConfigError, match="that can be read: left out 1 videos: 'b'"):
        video_files.found(tmp_path, "train")
    written(tmp_path / "train.txt", ["../b"])
    with pytest.raises(ConfigError, match="names '../b', which is no folder in it"):
        video_files.found(tmp_path, "train")
