"""Where the tokens of every block are on the image, and that each block is told from the others."""

import jax
import numpy as np
import pytest

from m3i_jax.analysis.placement import Placement, names, placement
from m3i_jax.evaluation import models
from m3i_jax.evaluation.features import NotMeasurable

SWIN = dict(name="swin_v2_t", image=64, width=8, depths=(1, 2), heads=(1, 2), window=5)


def placed(block, image):
    """What each block of a model is said to be, from inside the forward pass."""
    model, said = models.fresh(block), []
    place = placement(model, image)
    images = np.zeros((1, image, image, 3), np.uint8)
    look = lambda scores: said.append(place(scores)) or 0.0  # noqa: E731
    jax.eval_shape(lambda p: models.encode(model, p, images, attention=look), model.params)
    return said


def test_a_vit_at_its_own_size_and_at_another():
    block = dict(name="vit_nano", image=32, depth=2, scan=False)
    assert set(placed(block, 32)) == {Placement((8, 8), (8, 8), 4, True)}
    (other,) = set(placed(block | {"class_token": False, "positions": "none"}, 48))
    assert other == Placement((12, 12), (12, 12), 4, False)
    (behind,) = set(placed(block | {"registers": 2}, 32))
    assert behind == Placement((8, 8), (8, 8), 4, True, 2)


def test_a_vit_with_windows():
    block = dict(name="vit_nano", image=32, depth=2, scan=False, class_token=False, window=3)
    said = placed(block | dict(global_blocks=(2,)), 32)
    assert said == [Placement((3, 3), (8, 8), 4), Placement((8, 8), (8, 8), 4)]


def test_cells_of_swin_double_from_stage_to_stage():
    """Maps of 16 and 8 cells a side, in windows of 5."""
    first, second = Placement((5, 5), (16, 16), 4), Placement((5, 5), (8, 8), 8)
    assert list(dict.fromkeys(placed(SWIN, 64))) == [first, second]


def test_blocks_are_called_by_their_numbers_behind_those_of_stages():
    assert names(models.fresh(dict(name="vit_nano", depth=3))) == ["1", "2", "3"]
    assert names(models.fresh(SWIN)) == ["1.1", "2.1", "2.2"]


@pytest.mark.parametrize("name", ["resnet_nano", "replknet_nano"])
def test_what_does_not_attend_says_so(name):
    with pytest.raises(NotMeasurable, match="do not attend to each other"):
        placement(models.fresh(dict(name=name)), 32)
    with pytest.raises(NotMeasurable, match="raw pixels have no blocks"):
        names(models.RAW)
