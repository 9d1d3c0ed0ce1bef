"""What annotations may be, beside the image that they are of."""

import io

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.sources import outlines
from m3i_jax.data.sources.annotations import ORIENTATION, Annotations, checked, fitted
from m3i_jax.data.sources.decoding import decode_image
from m3i_jax.data.sources.sample_objects import SampleObjects

FLOATS = np.float32
WHOLE = Annotations(
    np.zeros((4, 6), np.uint8),
    np.array([0, 1, 2, 3], FLOATS),
    np.ones((4, 6), FLOATS),
    np.array([[1, 2, 2], [0, 0, 0]], FLOATS),
    SampleObjects(
        np.array([[1, 2, 3, 5]], FLOATS),
        np.array([4], np.int32),
        np.zeros(1, bool),
        np.ones(1, FLOATS),
    ),
)


def test_what_fits_the_image_passes():
    assert checked(WHOLE, 4, 6) is WHOLE
    assert checked(Annotations(), 4, 6) == Annotations()


@pytest.mark.parametrize(
    "changed, said",
    [
        (dict(mask=np.zeros((6, 4), np.uint8)), r"mask is uint8 of \(6, 4\), and the image of"),
        (dict(depth=np.zeros((4, 6))), "depth is float64"),
        (dict(box=np.array([0, 1, 0, 3], FLOATS)), "box is not top, left"),
        (dict(box=np.array([0, 1, np.nan, 3], FLOATS)), "box is not top, left"),
        (dict(points=np.zeros((2, 2), FLOATS)), "key points are not rows"),
        (dict(points=np.full((1, 3), np.inf, FLOATS)), "key points are not rows"),
        (dict(points=np.array([[1, 1, 3]], FLOATS)), "visibility of one"),
        (dict(objects=WHOLE.objects._replace(crowd=np.zeros(2, bool))), "crowd of its 1 objects"),
    ],
)
def test_what_does_not_is_a_sentence(changed, said):
    with pytest.raises(ValueError, match=said):
        checked(WHOLE._replace(**changed), 4, 6)


def test_annotations_turn_with_the_image():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    points = np.array([[1.5, 4.5, 2], [0.5, 0.5, 1]], FLOATS)
    box = np.array([1, 2, 2, 3], FLOATS)  # rows 1..2, columns 2..4
    said = Annotations(pixels[..., 0], box, pixels[..., 1].astype(FLOATS), points)
    for tag in range(1, 9):
        encoded = tagged(pixels, tag)
        image = decode_image(encoded, orientation=True)
        turned = fitted(said, image, encoded=encoded, turned=True)
        np.testing.assert_array_equal(turned.mask, image[..., 0], strict=True)
        np.testing.assert_array_equal(turned.depth, image[..., 1].astype(FLOATS), strict=True)
        rows, columns = turned.points[:, :2].astype(int).T  # the pixels that they are in
        np.testing.assert_array_equal(image[rows, columns], pixels[[1, 0], [4, 0]])
        assert turned.points.dtype == turned.box.dtype == FLOATS
        top, left, height, width = turned.box.astype(int)
        inside = image[top : top + height, left : left + width].reshape(-1, 3)
        np.testing.assert_array_equal(
            np.sort(inside, axis=0), np.sort(pixels[1:3, 2:5].reshape(-1, 3), axis=0)
        )
        still = decode_image(encoded)
        assert fitted(said, still, encoded=encoded, turned=False) is said


def test_objects_turn_with_the_image():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    covered = pixels[..., 0] > 99
    polygon = np.array([[0.2, 1.3], [3.9, 2.2], [2, 5.5]], FLOATS)
    objects = SampleObjects(
        np.array([[1, 2, 3, 5], [0, 1, 4, 5.5]], FLOATS),
        np.array([3, 1], np.int32),
        np.array([True, False]),
        np.array([6, 9], FLOATS),
        (outlines.encoded(covered), (polygon,)),
    )
    still = outlines.mask((polygon,), [0, 0, 4, 6], (4, 6))
    for tag in range(1, 9):
        encoded, shown = tagged(pixels, tag), tagged(np.repeat(still[..., None] * 255, 3, 2), tag)
        image = decode_image(encoded, orientation=True)
        turned = fitted(Annotations(objects=objects), image, encoded=encoded, turned=True).objects
        np.testing.assert_array_equal(outlines.decoded(turned.outlines[0]), image[..., 0] > 99)
        frame = np.array([0, 0, *image.shape[:2]])
        np.testing.assert_array_equal(
            outlines.mask(turned.outlines[1], frame, image.shape[:2]),
            decode_image(shown, orientation=True)[..., 0] // 255,
        )
        top, left, bottom, right = turned.corners[0].astype(int)
        inside = image[top:bottom, left:right].reshape(-1, 3)
        np.testing.assert_array_equal(
            np.sort(inside, axis=0), np.sort(pixels[1:3, 2:5].reshape(-1, 3), axis=0)
        )
        np.testing.assert_array_equal(turned.categories, objects.categories)
        assert turned.corners.dtype == FLOATS and turned.area is not None


def test_a_mask_of_the_image_as_it_is_shown_is_refused():
    pixels = np.zeros((4, 6, 3), np.uint8)
    encoded = tagged(pixels, 6)
    said = Annotations(np.zeros((6, 4), np.uint8))
    with pytest.raises(ValueError, match="its mask is"):
        fitted(said, decode_image(encoded, orientation=True), encoded=encoded, turned=True)


def tagged(pixels, tag):
    """A PNG with an EXIF orientation."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = tag
    Image.fromarray(pixels).save(file, "PNG", exif=exif)
    return file.getvalue()
