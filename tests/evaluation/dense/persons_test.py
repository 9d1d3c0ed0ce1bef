"""Poses beside who is there."""

import types

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.person_files import Person, Truth
from m3i_jax.data.sources.skeletons import COCO
from m3i_jax.data.sources.subset import Subset
from m3i_jax.evaluation.dense import persons
from m3i_jax.evaluation.dense.persons import Persons
from m3i_jax.evaluation.dense.posed import Posed
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation.dense.scenes import Squares


class Known(Squares):
    """Two of them are in each image."""

    def person(self, index):
        return Person(image=index // 2, number=index, area=float(np.prod(self[index].box[2:])))

    def truth(self):
        """And a crowd, which is neither to be found nor wrong."""
        rows = [*range(len(self)), 0]
        who = [self.person(n) for n in rows]
        points, boxes = (np.stack([getattr(self[n], x) for n in rows]) for x in ("points", "box"))
        image, area = (np.array([getattr(one, x) for one in who]) for x in ("image", "area"))
        return Truth(image, np.arange(7), points, boxes, area, np.arange(7) == 6)


def right(source, *, off=0.0):
    points = np.stack([source[n].points[:, :2] for n in range(len(source))]) + off
    return Posed(np.arange(len(source)), points, np.ones(points.shape[:2]))


def test_those_that_are_right_are_wholly_alike():
    source = Squares(6)
    one = Persons.of(source)
    numbers, intervals = persons.measured(one, source, right(source))
    assert numbers["oks"] == numbers["near"] == 1 and intervals["oks"] == (1, 1)
    assert "ap" not in numbers  # nobody says which images these are
    # Joints of squares are at the same places in all boxes, so the guess is right, too.
    assert numbers["constant"] == pytest.approx(1)
    off, _ = persons.measured(one, source, right(source, off=1.0))
    area = np.array([np.prod(source[n].box[2:]) for n in range(6)]) * 0.53
    wanted = np.exp(-2 / (2 * (2 * 0.05) ** 2 * area)).mean()
    assert off["oks"] == pytest.approx(wanted, rel=1e-4)


def test_average_precision_of_two_in_an_image():
    pytest.importorskip("faster_coco_eval")
    source = Known(6)
    numbers, intervals = persons.measured(Persons.of(source), source, right(source))
    assert numbers["ap"] == pytest.approx(1) and numbers["ar"] == pytest.approx(1)
    assert numbers["ap_large"] is None  # nobody is as large as that
    assert intervals["ap"] is None and intervals["oks"] == (1, 1)
    part = Subset(source, np.arange(4))  # of which nobody knows who else is in its images
    assert "ap" not in persons.measured(Persons.of(part), part, right(part))[0]


def test_sigmas_are_those_of_known_skeletons():
    assert Persons.of(types.SimpleNamespace(skeleton=COCO)).sigmas[0] == 0.026
    with pytest.raises(ConfigError, match="'x' does not say what its key points are"):
        Persons.of(types.SimpleNamespace(name="x"))


def test_nobody_is_labelled():
    source = Squares(2, silent=(0, 1))
    found = Posed(np.arange(2), np.zeros((2, 5, 2)), np.ones((2, 5)))
    with pytest.raises(NotMeasurable, match="no record of 'squares' has labelled key points"):
        persons.measured(Persons.of(source), source, found)
