"""What is drawn of masks, depths, boxes and key points is where and what the records say."""

import numpy as np

from m3i_jax import pictures
from m3i_jax.analysis import pixelwise
from m3i_jax.analysis.survey import annotated, sheets
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.skeletons import Skeleton
from tests.data.survey.look_test import Pixels

TOP = pictures.LINE + pictures.PAD  # of the first row of tiles, below the titles


class Scenes:
    """Records as they are given; their three joints are joined one with the next."""

    classes, name = (), "scenes"
    skeleton = Skeleton(("a", "b", "c"), bones=((0, 1), (1, 2)))

    def __init__(self, *samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def tiles(sheet, row, count):
    """The tiles of a row."""
    top, step = TOP + row * (sheets.SIDE + pictures.PAD), sheets.SIDE + pictures.PAD
    lefts = [pictures.PAD + n * step for n in range(count)]
    assert sheet.shape[1] == lefts[-1] + step
    return [sheet[top : top + sheets.SIDE, x : x + sheets.SIDE] for x in lefts]


def test_each_kind_has_a_column_and_what_is_not_said_is_empty():
    image = np.full((28, 28, 3), 100, np.uint8)
    mask = np.zeros((28, 28), np.uint8)
    mask[:14], mask[14:, :14] = 1, 255
    depth = np.full((28, 28), 4, np.float32)
    depth[:14], depth[14:, :14] = 2, np.nan
    sheet = annotated.annotated(Scenes(Sample(image, mask=mask), Sample(image, depth=depth)))
    first, second = (tiles(sheet, row, 3) for row in range(2))
    np.testing.assert_array_equal(first[0], sheets.squared(image))
    drawn = pixelwise.masked(image, mask)  # 4 x 4 pixels for each of 28
    np.testing.assert_array_equal(first[1][::4, ::4], drawn)
    assert (first[2] == 255).all() and (second[1] == 255).all()
    violet, yellow = pixelwise.heights(np.float32([[2, 4]]), 2, 4)[0]
    assert (second[2][:56] == violet).all() and (second[2][56:, 56:] == yellow).all()
    assert (second[2][56:, :56] == 255).all(), "not measured"


def test_boxes_and_joints_lie_where_they_are_in_images_of_any_shape():
    # 56 x 28 pixels are shown twice as large, in the middle of a white square of 112.
    points = np.float32([[8, 8, 2], [40, 8, 1], [40, 20, 0]])
    sample = Sample(np.zeros((56, 28, 3), np.uint8), box=np.float32([4, 4, 40, 20]), points=points)
    _, tile = tiles(annotated.annotated(Scenes(sample)), 0, 2)
    at = lambda y, x: tuple(int(c) for c in tile[2 * y, 28 + 2 * x])  # noqa: E731
    assert at(4, 10) == at(20, 4) == annotated.BOX and at(2, 10) == (0, 0, 0)
    assert at(8, 8) == at(24, 8) == at(40, 8) == pixelwise.TRUE
    assert at(40, 20) == at(40, 14) == (0, 0, 0), "not labelled, and not joined"
    assert (tile[:, :28] == 255).all() and (tile[:, 84:] == 255).all()


def test_images_alone_have_no_sheet():
    assert annotated.annotated(Pixels(np.zeros((4, 4, 3), np.uint8), ValueError("x"))) is None
