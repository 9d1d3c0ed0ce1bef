"""A pass over records of many sizes: each is answered at its own pixels, however it is shown."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import geometry, normalize
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.dense import goals, tested
from m3i_jax.evaluation.dense.tested import Way
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation.dense.scenes import Squares
from tests.two_processes import as_two


class Bright(NamedTuple):
    """Says of a pixel how dark and how bright it is, and needs no weights for it."""

    params: dict = {}
    stride: int = 8

    def said(self, params, images):
        middle = normalize.levels(jnp.full((1, 1, 1, 3), 125, jnp.uint8))[..., :1]
        bright = images[..., :1] - middle
        return jnp.concatenate([-bright, bright], -1)


SIZES = ((16, 16), (20, 13), (9, 30))
WAYS = {
    "whole": Way(),
    "windows": Way(window=8, stride=5),
    "mirrored": Way(flip=True),
    "at two sizes": Way(scales=(1.0, 2.0)),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_record_is_answered_at_its_own_pixels(way):
    source = Squares(sizes=SIZES)
    said = {
        one.number: (one, x) for one, x in tested.predictions(Bright(), source, way=way, batch=4)
    }
    assert sorted(said) == list(range(12))
    for number, (one, values) in said.items():
        mask = source[number].mask
        assert values.shape == (*mask.shape, 2)
        right = (values.argmax(-1) == mask).mean()
        assert right == 1 if way in (Way(), WAYS["windows"]) else right > 0.95, one.number


def test_windows_are_put_together_as_in_the_step():
    views = np.random.default_rng(0).integers(0, 256, (2, 20, 13, 3), dtype=np.uint8)
    shown = []

    class Seen(Bright):
        """Notes which sizes are compiled, and looks at its neighbours."""

        def said(self, params, images):
            shown.append(images.shape)
            return super().said(params, images).cumsum(2)

    way = Way(window=8, stride=5)
    ours = tested._answering(tested.compiled(Seen(), way), {}, way, 2)(views)
    whole = geometry.windows(lambda x: Bright().said({}, x).cumsum(2), window=(8, 8), stride=(5, 5))
    np.testing.assert_allclose(ours, whole(normalize.levels(views)), rtol=1e-5, atol=1e-5)
    assert {shape[1:3] for shape in shown} == {(8, 8)} and len(shown) == 1


def test_numbers_are_those_of_all_records():
    source, goal = Squares(sizes=SIZES, silent=(3,)), goals.of_categories(2)
    guess = goal.guess([source[n] for n in range(12)])
    found = tested.tested(Bright(), source, goal, batch=5, guess=guess)
    assert found.images == 11 and found.numbers["miou"] == 1
    masks = [source[n].mask for n in range(12) if n != 3]
    ground = sum((m == 0).sum() for m in masks) / sum(m.size for m in masks)
    # All is ground: half of the categories, each by its share.
    np.testing.assert_allclose(found.numbers["constant"], ground / 2)
    assert found.intervals["miou"] == (1, 1)


def test_two_processes_find_what_one_does(monkeypatch):
    """Sums in the order of the records, whichever were shown together."""
    source, goal, guess = Squares(sizes=SIZES), goals.of_categories(2), np.float32([1, 0])
    how = dict(batch=4, guess=guess)
    right = tested.tested(Bright(), source, goal, **how)
    both = lambda share: tested.tested(Bright(), source, goal, share=share, **how)  # noqa: E731
    assert as_two(monkeypatch, both) == [right, right] and right.images == 12


def test_nothing_to_be_held_against_is_said():
    with pytest.raises(NotMeasurable, match="no record of 'squares' says its 'mask'"):
        tested.tested(Bright(), Squares(2, silent=(0, 1)), goals.of_categories(2))


def test_ways_that_are_none():
    assert Way.of(None, None, flip=True) == Way(flip=True)
    assert Way.of([2048, 512], (512, 341), flip=False) == Way((2048, 512), 512, 341)
    with pytest.raises(ConfigError, match="expected the long side first"):
        Way.of((512, 2048), None, flip=False)
    with pytest.raises(ConfigError, match="there are gaps between them"):
        Way.of(None, (8, 9), flip=False)
