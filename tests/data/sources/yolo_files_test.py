"""YOLO's lines: boxes and polygons in pixels, and what is no line; names of categories."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import sample_objects, yolo_files


def test_boxes_and_polygons():
    text = "0 0.5 0.5 0.25 0.5\n\n2 0.1 0.2 0.6 0.2 0.6 0.4\n1 0.5 0.5 1 1\n"
    objects = sample_objects.checked(yolo_files.label(text, 3, 40, 80), 40, 80)
    expected = [[10, 30, 30, 50], [8, 8, 16, 48], [0, 0, 40, 80]]
    np.testing.assert_allclose(objects.corners, expected, rtol=1e-6)
    assert objects.categories.tolist() == [0, 2, 1]
    np.testing.assert_allclose(objects.area, [400, 160, 3200], rtol=1e-6)
    assert objects.outlines[0] is None and objects.outlines[2] is None
    np.testing.assert_allclose(objects.outlines[1][0], [[8, 8], [8, 48], [16, 48]], rtol=1e-6)
    assert yolo_files.label("0 0.5 0.5 0.25 0.5", 3, 40, 80).outlines is None
    assert len(yolo_files.label("\n", 3, 40, 80).corners) == 0


def test_what_rounding_takes_out_of_the_image_is_cut_off():
    objects = yolo_files.label("0 0.995 0.5 0.02 0.5", 1, 40, 100)
    kept, lost = sample_objects.inside(objects, 40, 100)
    np.testing.assert_allclose(kept.corners, [[10, 98.5, 30, 100]], rtol=1e-6)
    assert lost == "" and sample_objects.inside(yolo_files.label("0 .5 .5 0 .5", 1, 9, 9), 9, 9)[1]


@pytest.mark.parametrize(
    "line, why",
    [
        ("0 0.5 0.5 0.2 x", "line 2 has other things than numbers"),
        ("3 0.5 0.5 0.2 0.2", "line 2 has category 3, of 3 from 0"),
        ("0.5 0.5 0.5 0.2 0.2", "line 2 has category 0.5"),
        ("-1 0.5 0.5 0.2 0.2", "line 2 has category -1"),
        ("nan 0.5 0.5 0.2 0.2", "line 2 has category nan"),
        ("inf 0.5 0.5 0.2 0.2", "line 2 has category inf"),
        ("0 0.5 0.5 0.2", "line 2 has 3 numbers behind its category"),
        ("0 0.5 0.5 0.2 0.2 0.1", "line 2 has 5 numbers"),
        ("0", "line 2 has 0 numbers"),
        ("0 50 50 20 20", "line 2 leaves its image"),
        ("0 0.5 0.5 nan 0.2", "line 2 leaves its image"),
        ("0 0.1 0.1 1.2 0.1 0.2 0.2", "line 2 leaves its image"),
    ],
)
def test_what_is_no_line_is_named(line, why):
    with pytest.raises(ValueError, match=why):
        yolo_files.label(f"0 0.5 0.5 0.1 0.1\n{line}\n", 3, 40, 80)


@pytest.mark.parametrize(
    "text",
    [
        "path: x\nnames: [cat, 'big dog', \"eel\"]\nnc: 3\n",
        "names:\n- cat\n- big dog  # a comment\n- 'eel'\nnc: 3",
        "nc: 3\nnames:\n  0: cat\n  1: big dog\n\n  2: eel\ntrain: images/train\n",
        "names: {0: cat, 2: eel, 1: big dog}",
        "names: ['cat',\n  'big dog',\n  'eel']\n",
    ],
)
def test_names_in_yaml(tmp_path, text):
    (tmp_path / "data.yaml").write_text(text)
    assert yolo_files.names(tmp_path, None) == ("cat", "big dog", "eel")


def test_names_a_line_each(tmp_path):
    (tmp_path / "classes.txt").write_text("cat\n\nbig dog\n")
    assert yolo_files.names(tmp_path, None) == ("cat", "big dog")
    (tmp_path / "data.yaml").write_text("names: [eel]")
    with pytest.raises(ConfigError, match="'classes.txt', 'data.yaml': data.names says which"):
        yolo_files.names(tmp_path, None)
    assert yolo_files.names(tmp_path, str(tmp_path / "data.yaml")) == ("eel",)
    with pytest.raises(ConfigError, match="no data.yaml, no classes.txt"):
        yolo_files.names(tmp_path / "none", None)
    for text in ("nc: 3", "names: x", "names: [", "names: {1: a}", "names:\n  0: a\n  2: b"):
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(ConfigError, match="does not name the categories"):
            yolo_files.names(tmp_path, str(tmp_path / "data.yaml"))
    (tmp_path / "classes.txt").write_text("\n")
    with pytest.raises(ConfigError, match="names 0 categories, expected 1"):
        yolo_files.names(tmp_path, str(tmp_path / "classes.txt"))
