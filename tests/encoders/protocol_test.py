"""Every encoder of images keeps to the protocol."""

import pytest

from m3i_jax import encoders
from m3i_jax.encoders.protocol import ImageEncoder, blank, sides

IMAGES = [name for name in encoders.names() if encoders.accepts(name, "image")]


@pytest.mark.parametrize("name", IMAGES)
def test_every_encoder_of_images_keeps_to_the_protocol(name):
    module = encoders.create(name)
    assert isinstance(module, ImageEncoder) and module.kind == "image"
    (height, width), (rows, columns) = module.size, module.grid
    assert (rows * module.patch, columns * module.patch) == (height, width)
    assert module.masking in ("", "drop", "mask")
    assert module.example().shape == (1, height, width, 3)


def test_what_is_no_encoder_of_images_does_not():
    assert not isinstance(encoders.create("bert_base"), ImageEncoder)


def test_sides():
    assert sides(32) == (32, 32) and sides((16, 48)) == (16, 48) and sides([16, 48]) == (16, 48)
    assert blank((2, 4)).shape == (1, 2, 4, 3) and not blank((2, 4)).any()
