"""What the objects of an image may be, and what becomes of boxes that leave it."""

import numpy as np
import pytest

from m3i_jax.data.sources import outlines
from m3i_jax.data.sources.sample_objects import SampleObjects, checked, chosen, inside, moved, none

SHAPE = np.array([[1, 1], [1, 3], [3, 3]], np.float32)
RUNS = outlines.encoded(np.eye(4, 6, dtype=bool))
WHOLE = SampleObjects(
    np.array([[0, 0, 4, 6], [1, 1, 3, 3], [0.5, 2, 1, 2.5]], np.float32),
    np.array([0, 7, 0], np.int32),
    np.array([False, True, False]),
    np.array([4, 2, 0.25], np.float32),
    (RUNS, (SHAPE,), None),
)


def with_corners(*corners):
    count = len(corners)
    return SampleObjects(
        np.array(corners, np.float32),
        np.arange(count, dtype=np.int32),
        np.zeros(count, bool),
        np.ones(count, np.float32),
    )


def test_what_fits_the_image_passes():
    assert checked(WHOLE, 4, 6) is WHOLE
    assert len(checked(none(), 4, 6).corners) == 0
    kept, lost = inside(WHOLE, 4, 6)
    assert lost == "" and kept.outlines == WHOLE.outlines
    np.testing.assert_array_equal(kept.corners, WHOLE.corners, strict=True)


@pytest.mark.parametrize(
    "changed, said",
    [
        (dict(corners=WHOLE.corners[:, :3]), r"corners of its 3 objects are float32 of \(3, 3\)"),
        (dict(categories=np.zeros(3)), "categories of its 3 objects are float64"),
        (dict(crowd=np.zeros(2, bool)), "crowd of its 3 objects"),
        (dict(area=np.full(3, np.nan, np.float32)), "not finite"),
        (dict(area=np.full(3, -1, np.float32)), "less than 0"),
        (dict(categories=np.full(3, -1, np.int32)), "less than 0"),
        (dict(outlines=(None,)), "3 objects and 1 outlines"),
        (dict(outlines=(None, (), None)), "outline of its object 1"),
        (dict(outlines=(outlines.encoded(np.eye(6, 4)), None, None)), "outline of its object 0"),
        (dict(corners=WHOLE.corners + np.float32([0, 0, 0, 1])), "box of its object 0, .*7.0"),
        (dict(corners=WHOLE.corners[:, [2, 1, 0, 3]]), "box of its object 0"),
    ],
)
def test_what_does_not_is_a_sentence(changed, said):
    with pytest.raises(ValueError, match=said):
        checked(WHOLE._replace(**changed), 4, 6)


def test_more_than_an_image_can_have():
    many = with_corners(*[[0, 0, 1, 1]] * 10_001)
    with pytest.raises(ValueError, match="10001 objects, at most 10000"):
        checked(many, 4, 6)


def test_boxes_are_cut_off_and_those_of_which_nothing_is_left_go():
    boxes = [[-1, -1, 2, 2], [4, 0, 5, 2], [1, 1, 1, 3], [3, 5, 9, 9], [0, 6, 4, 8]]
    kept, lost = inside(with_corners(*boxes), 4, 6)
    assert lost == "3 objects that are not in the image, or have no area"
    np.testing.assert_array_equal(kept.corners, [[0, 0, 2, 2], [3, 5, 4, 6]])
    np.testing.assert_array_equal(kept.categories, [0, 3])
    assert checked(kept, 4, 6) is kept
    with pytest.raises(ValueError, match="not finite"):
        inside(with_corners([0, 0, np.inf, 1]), 4, 6)


def test_some_of_them():
    two = chosen(WHOLE, np.array([2, 0]))
    np.testing.assert_array_equal(two.corners, WHOLE.corners[[2, 0]])
    assert two.outlines == (None, RUNS) and two.crowd.tolist() == [False, False]


def test_they_move_with_the_image():
    mirrored = moved(
        WHOLE, lambda at: np.abs(np.float32([0, 6]) - at), lambda plane: plane[:, ::-1], scale=1.0
    )
    np.testing.assert_array_equal(mirrored.corners[2], [0.5, 3.5, 1, 4])
    np.testing.assert_array_equal(mirrored.outlines[1][0], [[1, 5], [1, 3], [3, 3]])
    np.testing.assert_array_equal(outlines.decoded(mirrored.outlines[0]), np.eye(4, 6)[:, ::-1])
    checked(mirrored, 4, 6)
    assert mirrored.outlines[2] is None and mirrored.area is not None
