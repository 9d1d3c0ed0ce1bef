"""What a record is: its pixels, its file, or why it cannot be read."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.survey.look import PIXELS, look
from tests.faulty_folder import made


class Pixels:
    """A source of images in memory, or of errors."""

    name, classes = "pixels", ()

    def __init__(self, *images):
        self._images = images

    def __len__(self):
        return len(self._images)

    def __getitem__(self, index):
        if isinstance(self._images[index], Exception):
            raise self._images[index]
        return Sample(self._images[index])


def test_a_file_is_what_its_content_says_and_a_broken_one_says_why(tmp_path):
    source = data.source({"name": "image_folder", "root": str(made(tmp_path))}, split="train")
    seen = {source.where(i).rpartition("train/")[2]: look(source, i) for i in range(len(source))}
    grey = seen["bee/0.jpg"]
    assert (grey.format, grey.mode, grey.height, grey.width) == ("JPEG", "L", 30, 40)
    assert grey.label == 2 and grey.captions[0].startswith("a grey bee")
    assert grey.size == (tmp_path / "train/bee/0.jpg").stat().st_size
    assert seen["ant/0.jpg"].digest == seen["ant/4.jpg"].digest != seen["ant/2.png"].digest
    why = {name: one.broken for name, one in seen.items() if one.broken}
    assert sorted(why) == ["ant/5.jpg", "ant/6.jpg", "bee/2.jpg", "bee/3.png"]
    assert "the file is empty" in why["bee/2.jpg"] and "bomb" in why["bee/3.png"]


def test_pixels_have_no_file_and_equal_bytes_of_another_shape_are_others():
    one = look(Pixels(np.zeros((4, 9, 3), np.uint8)), 0)
    assert (one.format, one.size, one.label) == (PIXELS, 108, -1)
    assert one.digest != look(Pixels(np.zeros((9, 4, 3), np.uint8)), 0).digest


def test_a_lack_of_memory_is_no_broken_record():
    assert look(Pixels(OSError("gone")), 0).broken == "OSError: gone"
    with pytest.raises(MemoryError):
        look(Pixels(MemoryError()), 0)
