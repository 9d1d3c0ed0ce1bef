"""What numbers in masks stand for, and names of categories in lists."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import mask_layouts
from m3i_jax.data.sources.mask_layouts import CITYSCAPES, VOC, look, names, table
from tests.data.sources.dense_files import image, mask, written


def test_a_table_has_a_category_none_or_no_meaning_for_each_number():
    found = table((3, 1), unnamed=range(2))
    assert found.tolist() == [255, 1, -1, 0, *[-1] * 251, 255]
    whole = table(CITYSCAPES.values(), unnamed=range(34))
    assert (np.bincount(whole[:34], minlength=256)[:19] == 1).all()
    assert (whole[:34] == 255).sum() == 15 and (whole[34:255] == -1).all()
    assert len(VOC) == len({*VOC}) == 21 and list(CITYSCAPES).index("rider") == 12


def test_names_are_lines_or_the_last_column(tmp_path):
    assert names(written(tmp_path / "a.txt", ["road ", "", "wall"])) == ("road", "wall")
    table = written(tmp_path / "b.txt", ["Idx\tName", "1\tsky, heaven"])
    assert names(table) == ("sky, heaven",)
    for lines in ([], [str(n) for n in range(256)]):
        with pytest.raises(ConfigError, match=f"names {len(lines)} categories, expected 1 to 255"):
            names(written(tmp_path / "c.txt", lines))
    with pytest.raises(ConfigError, match="nowhere.txt' cannot be read"):
        names(tmp_path / "nowhere.txt")


def test_two_lists_are_none(tmp_path):
    image(tmp_path / "images/a.png")
    mask(tmp_path / "gt/a.png")
    written(tmp_path / "classes.txt", ["x"])
    assert look(tmp_path, "train").categories == ("x",)
    written(tmp_path / "labels.txt", ["y"])
    assert look(tmp_path, "train").categories == ()
    assert mask_layouts.UNNAMED == 255
