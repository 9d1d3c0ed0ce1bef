"""Objects through the measure: whole images with what is found in them over what is there."""

import numpy as np
import pytest

from m3i_jax.analysis import measures
from m3i_jax.analysis.pixelwise import SAID, TRUE
from m3i_jax.evaluation import models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.dense import judged
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation.dense.scenes import Squares
from tests.evaluation.detection.found_test import Bright

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2)


def evaluation(source):
    data = Data("made", lambda split, classes: source)
    return Evaluation(models.fresh(BLOCK), data, batch=4, quiet=True)


def test_boxes_that_are_found_over_those_that_are_there(monkeypatch):
    monkeypatch.setattr(judged, "own", lambda model, what: Bright() if what == "objects" else None)
    source = Squares(3, sizes=((64, 64), (80, 96)), silent=(2,))
    (measure,) = measures.create([{"name": "objects", "score": 0.8}])
    shown = measure.measure(evaluation(source), None)
    assert shown.values == {"found": 1.0} and shown.counts == {"test": 3}
    assert [picture.caption for picture in shown.pictures] == [
        "Record 0: 1 found, 1 there, in blue",
        "Record 1: 1 found, 1 there, in blue",
        "Record 2: 1 found",
    ]
    assert [picture.image.shape[:2] for picture in shown.pictures] == [
        (384, 384),
        (400, 480),
        (384, 384),
    ]
    # The edge of the box that is there, four pixels thick, of an image that is enlarged by 6.
    top, left = 6 * source[0].objects.corners[0, :2].astype(int)
    first, silent = shown.pictures[0].image, shown.pictures[2].image
    colours = {tuple(colour) for colour in first[top - 8 : top + 8, left + 24]}
    assert {TRUE, SAID} <= {tuple(map(int, colour)) for colour in colours}
    assert (silent == SAID).all(-1).any() and not (silent == TRUE).all(-1).any()


def test_what_is_less_sure_is_left_out_and_who_has_no_head_is_refused(monkeypatch):
    (measure,) = measures.create([{"name": "objects", "images": 2, "score": 0.95}])
    with pytest.raises(NotMeasurable, match="no head that finds objects"):
        measure.measure(evaluation(Squares(2)), None)
    monkeypatch.setattr(judged, "own", lambda model, what: Bright())
    shown = measure.measure(evaluation(Squares(2, sizes=((64, 64),))), None)
    assert shown.values == {"found": 0.0}
    assert not any((np.asarray(one.image) == SAID).all(-1).any() for one in shown.pictures)
    (measure,) = measures.create([{"name": "objects"}])
    broken = Squares(0)
    with pytest.raises(NotMeasurable, match="none of the images can be read"):
        measure.measure(evaluation(broken), None)
