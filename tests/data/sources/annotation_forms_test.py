"""Annotations as files have them, and what is none."""

import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.sources import annotation_forms as forms


def png(image):
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, "PNG")
    return file.getvalue()


def test_planes_of_pngs_and_numbers():
    numbers = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(forms.mask(png(numbers)), numbers, strict=True)
    np.testing.assert_array_equal(forms.mask(numbers.tolist()), numbers, strict=True)
    painted = Image.fromarray(numbers)
    painted.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    np.testing.assert_array_equal(forms.mask(png(painted)), numbers, strict=True)
    deep = numbers.astype(np.uint16) * 1000
    np.testing.assert_array_equal(forms.depth(png(deep)), deep.astype(np.float32), strict=True)
    np.testing.assert_array_equal(forms.depth([[0.5, 2]]), np.float32([[0.5, 2]]), strict=True)


def test_places_in_the_order_of_their_names():
    assert forms.box([1, 2, 3, 4]).tolist() == [1, 2, 3, 4]
    assert forms.coco_box([1, 2, 3, 4]).tolist() == [2, 1, 4, 3]
    assert forms.box([np.nan] * 4) is None is forms.coco_box([np.nan] * 4)
    for coco in ([5, 6, 2, 7, 8, 1], [[5, 6, 2], [7, 8, 1]]):
        assert forms.coco_points(coco).tolist() == [[6, 5, 2], [8, 7, 1]]
        assert forms.points(coco).tolist() == [[5, 6, 2], [7, 8, 1]]


@pytest.mark.parametrize(
    "read, value, said",
    [
        (forms.mask, [[256]], "other values than 0 to 255"),
        (forms.mask, [[0.5]], "other values than 0 to 255"),
        (forms.mask, png(np.zeros((2, 2, 3), np.uint8)), "it is RGB of"),
        (forms.mask, b"GIF89a", "content is no"),
        (forms.depth, png(np.zeros((2, 2), np.uint8))[:40], "cannot be read"),
        (forms.depth, [["far"]], "its depth has other things than numbers"),
        (forms.box, [[1], [1, 2]], "its box has other things than numbers"),
    ],
)
def test_what_is_none_is_a_sentence(read, value, said):
    with pytest.raises(ValueError, match=said):
        read(value)
