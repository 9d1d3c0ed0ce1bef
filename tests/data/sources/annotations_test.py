"""What annotations may be, beside the image that they are of."""

import numpy as np
import pytest

from m3i_jax.data.sources.annotations import Annotations, checked

FLOATS = np.float32
WHOLE = Annotations(
    np.zeros((4, 6), np.uint8),
    np.array([0, 1, 2, 3], FLOATS),
    np.ones((4, 6), FLOATS),
    np.array([[1, 2, 2], [0, 0, 0]], FLOATS),
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
    ],
)
def test_what_does_not_is_a_sentence(changed, said):
    with pytest.raises(ValueError, match=said):
        checked(WHOLE._replace(**changed), 4, 6)
