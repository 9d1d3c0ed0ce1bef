"""Joints of crops, in pixels of the images that these were cut from."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.evaluation.dense.posed import posed
from tests.evaluation.dense.scenes import Squares
from tests.two_processes import as_two


class Middle(NamedTuple):
    """Heat maps, as fine as the crops, of the middle of what is bright, five times."""

    params: dict = {}

    def said(self, params, images):
        levels = normalize.levels(jnp.full((1, 1, 1, 3), 125, jnp.uint8))
        bright = (images[..., 0] > levels[..., 0]).astype(jnp.float32)
        y, x = jnp.mgrid[: images.shape[1], : images.shape[2]]
        mean = lambda at: (bright * at).sum((1, 2)) / bright.sum((1, 2))  # noqa: E731
        down, right = (mean(at[None])[:, None, None] for at in (y, x))
        bump = jnp.exp(-((y[None] - down) ** 2 + (x[None] - right) ** 2) / 8)
        return jnp.repeat(bump[..., None], 5, axis=-1)


@pytest.mark.parametrize("flip", [False, True])
def test_joints_are_in_pixels_of_their_images(flip):
    source = Squares(5, sizes=((16, 16), (20, 24)))
    how = dict(size=(32, 32), batch=2, flip=flip, swapped=((2, 3),))
    found = posed(Middle(), source, **how)
    np.testing.assert_array_equal(found.number, range(5))
    middles = np.stack([source[n].points[4, :2] for n in range(5)])
    for joint in range(5):
        np.testing.assert_allclose(found.points[:, joint], middles, atol=0.1)
    assert (found.scores > 0.9).all()


def test_two_processes_find_what_one_does(monkeypatch):
    source, how = Squares(5, sizes=((16, 16), (20, 24))), dict(size=(32, 32), flip=False)
    right = posed(Middle(), source, batch=2, **how)
    both = lambda share: posed(Middle(), source, batch=2, share=share, **how)  # noqa: E731
    for found in as_two(monkeypatch, both):
        np.testing.assert_equal(found, right)
