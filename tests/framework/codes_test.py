"""Encoders: moving averages by hand, wrappers that keep what they wrap."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax.framework.passes import encoder_inputs
from m3i_jax.framework.scoring import Prepared
from m3i_jax.types import Features


def test_momentum_starts_and_ends_where_it_should():
    assert fw.momentum_at(0.0, momentum=0.995, end=1.0) == pytest.approx(0.995)
    assert fw.momentum_at(1.0, momentum=0.995, end=1.0) == pytest.approx(1.0)
    assert fw.momentum_at(0.5, momentum=0.99, end=1.0) == pytest.approx(0.995)
    assert fw.momentum_at(0.3, momentum=0.9, end=0.9) == pytest.approx(0.9)


def test_momentum_rises_linearly_to_where_1_25_times_the_run_would_end():
    """MSN: .996 → 1 over 1.25 times the schedule is .996 → .9992 over the schedule."""
    for p in (0.0, 0.25, 1.0):
        for end in (dict(end=0.9992), dict(end=1.0, stretch=1.25)):
            found = fw.momentum_at(p, momentum=0.996, schedule="linear", **end)
            assert found == pytest.approx(0.996 + 0.004 * p / 1.25, abs=1e-12)
    stretched = fw.ema(momentum=0.9, stretch=2.0)
    logged = fw.Method({"y": fw.Code("a", stretched)}, {}).slots["ema"].metrics(1.0)
    assert logged["ema/momentum"] == pytest.approx(0.95)  # half of the way after the whole run
    slot = fw.Method({"y": fw.Code("a", fw.ema(momentum=0.5, schedule="linear"))}, {}).slots["ema"]
    assert slot.metrics(0.5)["ema/momentum"] == pytest.approx(0.75)
    theta, phi = np.float32([2.0]), np.float32([1.0])
    np.testing.assert_allclose(slot.update(theta, phi, (), 0.5), 0.75 * 1.0 + 0.25 * 2.0)
    with pytest.raises(ValueError, match="no schedule 'linaer'; did you mean 'linear'"):
        fw.ema(schedule="linaer")


def encoder_input(toy, view, *, params=None, states=None):
    """What an encoder of one code would be shown."""
    code = fw.Code("a", fw.online())
    method, prepared = fw.Method({"x": code}, {}), Prepared({"a": view}, {}, {}, {})
    key = jax.random.key(0)
    return encoder_inputs(method, toy, params, states or {}, prepared, train=True, key=key)(
        "x", view
    )


def test_ema_follows_three_steps_by_hand(toy, key):
    method = fw.Method({"y": fw.Code("a", fw.ema(momentum=0.5, end=0.9))}, {})
    params, states = fw.init(method, toy, key)
    expected = np.asarray(params["encoders"]["image"]["mix"], np.float64)
    for step in range(3):
        params = jax.tree.map(lambda x, s=step: x + 1.0 + s, params)
        progress = (step + 1) / 3
        mu = 0.9 - 0.4 * 0.5 * (1 + np.cos(np.pi * progress))
        expected = mu * expected + (1 - mu) * np.asarray(params["encoders"]["image"]["mix"])
        states = fw.update(method, params, states, {}, jnp.float32(progress))
    np.testing.assert_allclose(states["ema"]["encoders"]["image"]["mix"], expected, rtol=1e-6)
    assert method.slots["ema"].metrics(1.0)["ema/momentum"] == pytest.approx(0.9)


def test_a_snapshot_is_the_average_of_every_third_step(toy, key):
    codes = {"y": fw.Code("a", fw.snapshot(every=3)), "z": fw.Code("a", fw.ema(momentum=0.5))}
    method = fw.Method(codes, {})
    params, states = fw.init(method, toy, key)
    leaf = lambda tree: np.asarray(tree["encoders"]["image"]["mix"])  # noqa: E731
    kept = leaf(params)
    for step in range(1, 8):
        params = jax.tree.map(lambda x, s=step: x + s, params)
        states = fw.update(method, params, states, {}, jnp.float32(step / 8))
        kept = leaf(states["ema"]) if step % 3 == 0 else kept
        np.testing.assert_array_equal(leaf(states["snapshot"]["weights"]), kept)
    assert set(states["snapshot"]["weights"]) == {"encoders"}


def test_ema_holds_what_its_codes_pass_through_and_nothing_else(toy, key):
    _, states = fw.init(fw.Method({"y": fw.Code("a", fw.ema())}, {}), toy, key)
    assert set(states["ema"]) == {"encoders"} and set(states["ema"]["encoders"]) == {"image"}
    codes = {"y": fw.Code("a", fw.ema(heads="projector")), "z": fw.Code("text", fw.ema("text"))}
    _, states = fw.init(fw.Method(codes, {}), toy, key)
    assert set(states["ema"]["encoders"]) == {"image", "text"}
    assert set(states["ema"]["decoders"]) == {"projector"}


def test_frozen_weights_are_state_and_not_trained(toy, key):
    codes = {"x": fw.Code("a", fw.online()), "y": fw.Code("text", fw.frozen("text"))}
    params, states = fw.init(fw.Method(codes, {}), toy, key)
    assert set(params["encoders"]) == {"image", "category"}
    np.testing.assert_array_equal(
        states["frozen/text"]["encoders"]["text"]["table"],
        toy.init(key)["encoders"]["text"]["table"],
    )


def test_a_teachers_class_token_is_the_first_of_its_tokens(toy, views, key):
    """In front of the heads, so that it passes through them as a patch does."""

    class WithClass(type(toy)):
        def encode(self, *args, **how):
            found = super().encode(*args, **how)
            return found._replace(pooled=found.tokens.max(1), attention=jnp.ones((1, 4, 1, 17, 17)))

    network = WithClass(*toy)
    patches, whole = (fw.frozen("image", heads="projector", class_token=c) for c in (False, True))
    states = {"frozen/image": network.init(key)}
    seen = encoder_input(network, views["a"], states=states)
    patches, whole = (encoder.apply(seen)[0] for encoder in (patches, whole))
    assert whole.tokens.shape[1] == patches.tokens.shape[1] + 1 and whole.pooled.shape[1] == 6
    np.testing.assert_array_equal(whole.tokens[:, 1:], patches.tokens)
    bare, _ = fw.frozen("image").apply(encoder_input(network, views["a"], states=states))
    kernel = np.float64(states["frozen/image"]["decoders"]["projector"]["kernel"])
    first = np.tanh(np.float64(bare.pooled) @ kernel)
    np.testing.assert_allclose(whole.tokens[:, 0], first, rtol=1e-5, atol=1e-6)
    assert whole.attention is not None, "a guide for masks still finds the attention"
    with pytest.raises(ValueError, match="tower 'image' has no class token"):
        fw.frozen("image", class_token=True).apply(encoder_input(toy, views["a"], states=states))


def test_stopped_codes_send_no_gradient(toy, views, key):
    def total(params, encoder):
        features, _ = encoder.apply(encoder_input(toy, views["a"], params=params))
        return features.tokens.sum()

    params = toy.init(key)
    moving = jax.grad(total)(params, fw.online())
    assert any(np.any(leaf) for leaf in jax.tree.leaves(moving))
    still = jax.grad(total)(params, fw.stopped(fw.online()))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(still))


def test_maps_of_several_views_follow_each_other():
    """A tracker reads those of where it looks and of what it looks for."""
    views = {"a": np.zeros((2, 4, 6, 3), np.float32), "b": np.ones((2, 2, 3, 3), np.float32)}
    one = fw.online()._replace(maps="last", apply=lambda x: (Features(maps=(x.of,)), {}))
    of = lambda view: SimpleNamespace(of=views[view])  # noqa: E731
    both = fw.mapped_each(one, ("b", "a"))
    features, updates = both.apply(SimpleNamespace(of=of))
    assert both.views == ("b", "a") and not updates
    assert [x.shape for x in features.maps] == [(2, 2, 3, 3), (2, 4, 6, 3)]
    with pytest.raises(ValueError, match="have some, and keep no state"):
        fw.mapped_each(fw.online(), ("a", "b"))
