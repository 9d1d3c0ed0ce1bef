"""Two trees of folders: pairs by name, splits inside or around, what is alone is said."""

import re

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.paired_folders import found, paired
from m3i_jax.data.sources.protocol import NoSplit
from tests.data.sources.dense_files import image

NAMES = re.compile("notes")


def touched(*paths):
    for path in paths:
        image(path)


def test_pairs_are_of_the_same_path(tmp_path):
    one, other = tmp_path / "images", tmp_path / "notes"
    touched(one / "x/1.jpg", one / "y/1.png", one / "2.png", other / "x/1.png", other / "y/1.png")
    pairs = found(tmp_path, "train", NAMES, what="note")
    assert [p.relative_to(one).as_posix() for p in pairs.images] == ["x/1.jpg", "y/1.png"]
    assert [p.relative_to(other).as_posix() for p in pairs.others] == ["x/1.png", "y/1.png"]
    assert len(pairs.warnings) == 1 and "images/2.png" in pairs.warnings[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="none of the 3 images"):
        paired(one, tmp_path / "empty", what="note")
    with pytest.raises(NoSplit, match="no test split with notes"):
        found(tmp_path, "test", NAMES, what="note")


def test_validation_is_the_test_split_where_only_it_has_both(tmp_path):
    for kind in ("train", "val", "test"):
        touched(tmp_path / "images" / kind / f"{kind}.png")
    for kind in ("train", "val"):
        touched(tmp_path / "notes" / kind / f"{kind}.png")
    assert found(tmp_path, "test", NAMES, what="note").images[0].name == "val.png"
    assert found(tmp_path, "train", NAMES, what="note").images[0].name == "train.png"
