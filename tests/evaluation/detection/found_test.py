"""Boxes of what a network finds, in pixels of images of other sizes than its views."""

import sys
from types import SimpleNamespace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.evaluation.detection.found import found, require_kinds
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.methods import mask_rcnn
from m3i_jax.types import Detections
from tests.evaluation.dense.scenes import Squares


class Bright(NamedTuple):
    """Finds the box of what is bright, and beside it nothing."""

    size: tuple = (32, 32)
    params: dict = {}

    def said(self, params, images, *, extent):
        bright = images[..., 0] > normalize.levels(jnp.full((1, 1, 1, 3), 140, jnp.uint8))[..., 0]
        # Beside the image there is a grey that is not.
        y, x = jnp.mgrid[:32, :32][:, None]
        inside = (y < extent[:, :1, None]) & (x < extent[:, 1:, None])
        bright &= inside
        ends = []
        for axis in (2, 1):
            seen = bright.any(axis)
            ends.append((seen.argmax(1), 32 - seen[:, ::-1].argmax(1)))
        (top, bottom), (left, right) = ends
        box = jnp.stack([top, left, bottom, right], 1).astype(jnp.float32)
        corners = jnp.stack([box, jnp.zeros_like(box)], 1)
        scores = jnp.tile(jnp.array([[0.9, 0.0]]), (len(images), 1))
        categories = jnp.tile(jnp.array([[0, -1]]), (len(images), 1))
        masks = jnp.ones((len(images), 2, 4, 4))
        return Detections(corners, scores, categories, masks)


def test_boxes_are_in_pixels_of_their_images():
    source = Squares(5, sizes=((16, 16), (20, 24), (40, 30)))
    numbers = []
    for one, said in found(Bright(), source, batch=2):
        numbers.append(one.number)
        assert said.scores.tolist() == [np.float32(0.9)] and said.categories.tolist() == [0]
        assert said.masks.shape == (1, 4, 4)
        top, left, height, width = source[one.number].box
        # Of a pixel of the view, which is up to 1.25 of the image's, on each side.
        expected = [top, left, top + height, left + width]
        np.testing.assert_allclose(said.corners[0], expected, atol=1.5)
    assert sorted(numbers) == [0, 1, 2, 3, 4]


def test_a_head_of_another_number_of_categories_is_refused(monkeypatch):
    module = sys.modules["m3i_jax.evaluation.detection.found"]
    monkeypatch.setattr(module, "objective", lambda config: mask_rcnn(classes=config))
    require_kinds(SimpleNamespace(name="run", config=None), Squares(1))
    require_kinds(SimpleNamespace(name="run", config=1), Squares(1))
    with pytest.raises(NotMeasurable, match="run tells 4 categories of objects, .*'squares' are 1"):
        require_kinds(SimpleNamespace(name="run", config=4), Squares(1))
