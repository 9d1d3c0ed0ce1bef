"""Whether a file has more than the frame that is read."""

import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.sources import frames
from m3i_jax.data.sources.decoding import FORMATS, decode_image
from m3i_jax.data.sources.image_folder import image_folder
from m3i_jax.data.sources.unreadable import robust


def encoded(format, count):
    """An image of this format with so many frames, the first of which is the darkest."""
    first, *rest = [Image.fromarray(np.full((8, 8, 3), 60 * k, np.uint8)) for k in range(count)]
    file = io.BytesIO()
    how = dict(save_all=True, append_images=rest) if rest else {}
    first.save(file, format, **how)
    return file.getvalue()


@pytest.mark.parametrize("format", frames.SEVERAL)
def test_several_frames_are_told_from_one_and_the_first_is_read(format):
    one, three = encoded(format, 1), encoded(format, 3)
    assert frames.several(three) and not frames.several(one)
    assert decode_image(three).max() < 30


def test_other_files_have_one():
    assert not any(frames.several(encoded(format, 1)) for format in FORMATS)
    assert not frames.several(b"GIF89a") and not frames.several(b"")
    assert frames.may("a/B.TIF") and not frames.may("a.png")


def test_a_survey_says_once_how_many_files_have_more(tmp_path, caplog):
    for number, count in enumerate((3, 1, 2)):
        (tmp_path / f"{number}.gif").write_bytes(encoded("GIF", count))
    (tmp_path / "3.png").write_bytes(encoded("PNG", 1))
    (tmp_path / "4.webp").write_bytes(b"broken")
    caplog.set_level("INFO")
    robust(image_folder(str(tmp_path)), max_share=0.5).survey()
    (said,) = [text for text in caplog.messages if "frame" in text]
    assert said == (
        "train split: more than one frame or page in 2 of 5 files, such as "
        f"'{tmp_path}/0.gif'; the first is used"
    )
