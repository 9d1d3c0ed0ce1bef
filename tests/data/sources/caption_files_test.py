"""Files of captions beside images, whatever they are called."""

import json
import os
import re

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.data.sources import caption_files


def opened(folder, *names):
    for name in names:
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(folder / name, format="PNG")
    return data.source({"name": "image_folder", "root": str(folder)}, split="train")


KINDS = {
    "x.txt": "a cat\na pet",
    "x.png.txt": "a cat\na pet",
    "X.PNG.TXT": "",  # of another image
    "x.PNG.TXT": "",
    "x.caption": "a cat\n\na pet\n",
    "x.json": json.dumps({"caption": ["a cat", "a  pet"], "width": 3}),
    "x.png.json": json.dumps({"Text": ["a cat", "a\npet"]}),
    "x.JSON": "\ufeff" + json.dumps({"captions": ["a cat", "a pet", 3]}),
}


@pytest.mark.parametrize("name", KINDS)
def test_captions_are_read_whatever_their_file_is_called(name, tmp_path):
    (tmp_path / name).write_text(KINDS[name])
    source = opened(tmp_path, "x.png")
    assert source[0].captions == (("a cat", "a pet") if KINDS[name] else ())
    assert source[0].left_out == "" and bool(KINDS[name]) == ("left" not in source.account.notes[0])


def test_lines_come_before_json_and_the_shorter_name_before_the_longer(tmp_path):
    for name in ("x.json", "x.caption", "x.png.txt", "x.txt"):
        (tmp_path / name).write_text(json.dumps({"text": name}) if "json" in name else name)
    opened(tmp_path, "x.png")
    for name in ("x.txt", "x.png.txt", "x.caption", "x.json"):
        assert opened(tmp_path)[0].caption == name
        (tmp_path / name).unlink()


def test_boxes_in_json_are_no_captions_and_are_counted(tmp_path):
    for name in "xy":
        (tmp_path / f"{name}.json").write_text(json.dumps({"shapes": [], "imageData": "x" * 9}))
    source = opened(tmp_path, "x.png", "y.png")
    assert not any(source.captions()) and "left out: 2 '.json'" in source.account.notes[0]


@pytest.mark.parametrize(
    "text,said",
    [
        ("{", "cannot read '.*x.json': "),
        ('{"text": "' + "x" * 70_000 + '"}', "more than 65536 byt"),
    ],
)
def test_what_is_broken_is_said_of_the_record(text, said, tmp_path):
    (tmp_path / "x.json").write_text(text)
    assert opened(tmp_path, "x.png")[0].caption == ""
    assert re.search(said, opened(tmp_path)[0].left_out)


def test_a_pipe_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.txt")
    assert opened(tmp_path, "x.png")[0].caption == ""
    assert "no ordinary file" in caption_files.read(tmp_path / "x.txt")[1]
