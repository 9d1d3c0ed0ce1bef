"""Predicted pixels return to the scale of the image."""

from types import SimpleNamespace

import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import methods
from m3i_jax.analysis import predictions
from m3i_jax.framework.descriptors import PIXELS
from m3i_jax.framework.scoring import Prepared
from m3i_jax.networks import Tower
from m3i_jax.types import View

RNG = np.random.default_rng(0)


def test_every_kind_of_pixel_target_can_be_undone():
    assert set(predictions.STATISTICS) == set(PIXELS)


@pytest.mark.parametrize("kind", sorted(PIXELS))
@pytest.mark.parametrize("name, term", [("cim", "respix"), ("mae", "pixels")])
def test_the_target_itself_becomes_the_image(kind, name, term):
    encoder = fw.pixels(normalization=kind)
    method = getattr(methods, name)(target=encoder)
    network = SimpleNamespace(towers={"image": Tower(8, (2, 3), 8, "image")})
    view = View(RNG.normal(size=(2, 16, 24, 3)).astype(np.float32))
    tokens = encoder.apply(fw.EncoderInput(view, network, None, {}, 0.0, None))[0].tokens
    assert predictions.pixel_terms(method) == (term,)
    code = method.codes[method.terms[term].y]
    prepared = Prepared({code.view: view}, {}, {}, {})
    got = predictions.pixels(method, network, prepared, term, tokens)
    # float32: normalised and back, each to some units in the last place of values up to 4.
    np.testing.assert_allclose(got, view.data, atol=1e-5)


def test_what_is_no_picture_is_left_out():
    assert predictions.pixel_terms(methods.beit()) == ()
    assert predictions.replaced_terms(methods.cim()) == ()
    assert predictions.replaced_terms(methods.cim(task="revdet")) == ("revdet",)
