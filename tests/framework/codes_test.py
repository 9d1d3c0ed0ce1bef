"""Encoders: moving averages by hand, pixels as patches, wrappers that keep what they wrap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw


def test_momentum_starts_and_ends_where_it_should():
    assert fw.momentum_at(0.0, momentum=0.995, end=1.0) == pytest.approx(0.995)
    assert fw.momentum_at(1.0, momentum=0.995, end=1.0) == pytest.approx(1.0)
    assert fw.momentum_at(0.5, momentum=0.99, end=1.0) == pytest.approx(0.995)
    assert fw.momentum_at(0.3, momentum=0.9, end=0.9) == pytest.approx(0.9)


def test_ema_follows_three_steps_by_hand(toy, key):
    encoder = fw.ema(momentum=0.5, end=0.9)
    params = toy.init(key)
    state = encoder.init(params)
    expected = np.asarray(params["encoders"]["image"]["mix"], np.float64)
    for step in range(3):
        params = jax.tree.map(lambda x, s=step: x + 1.0 + s, params)
        progress = (step + 1) / 3
        mu = 0.9 - 0.4 * 0.5 * (1 + np.cos(np.pi * progress))
        expected = mu * expected + (1 - mu) * np.asarray(params["encoders"]["image"]["mix"])
        state = encoder.update(params, state, (), jnp.float32(progress))
    np.testing.assert_allclose(state["encoders"]["image"]["mix"], expected, rtol=1e-6)
    assert encoder.gauges(1.0)["ema/momentum"] == pytest.approx(0.9)


def test_ema_holds_what_its_code_passes_through_and_nothing_else(toy, key):
    state = fw.ema().init(toy.init(key))
    assert set(state) == {"encoders"} and set(state["encoders"]) == {"image"}
    state = fw.ema(refine="image").init(toy.init(key))
    assert set(state["decoders"]) == {"image"}


def test_pixels_are_the_patches_of_the_image(toy, views):
    encoder = fw.pixels(normalization="raw")
    features, _ = encoder.apply(toy, {}, (), views["a"], visible=None, keep=None)
    image = np.asarray(views["a"].data)
    np.testing.assert_array_equal(features.tokens[1, 6].reshape(2, 2, 3), image[1, 2:4, 4:6])
    assert encoder.width(toy.towers) == 12
    with pytest.raises(ValueError, match="patch, raw, window, not 'pathc'"):
        fw.pixels(normalization="pathc")


def test_standardized_tokens_have_no_mean_and_unit_variance(toy, views, key):
    encoder = fw.standardize(fw.ema())
    state = encoder.init(toy.init(key))
    features, _ = encoder.apply(
        toy, {}, state, views["a"], visible=None, keep=None, train=True, key=key
    )
    np.testing.assert_allclose(features.tokens.mean(-1), 0.0, atol=1e-6)
    # eps = 1e-5 inside the root takes a little off the variance of small features.
    np.testing.assert_allclose(features.tokens.var(-1), 1.0, atol=1e-2)
    assert encoder.name == "ema", "a wrapped average shares the state of the average"


def test_stopped_codes_send_no_gradient(toy, views, key):
    def total(params, encoder):
        features, _ = encoder.apply(
            toy, params, (), views["a"], visible=None, keep=None, train=True, key=key
        )
        return features.tokens.sum()

    params = toy.init(key)
    moving = jax.grad(total)(params, fw.online())
    assert any(np.any(leaf) for leaf in jax.tree.leaves(moving))
    still = jax.grad(total)(params, fw.stopped(fw.online()))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(still))
