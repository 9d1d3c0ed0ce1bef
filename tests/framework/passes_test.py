"""Passes are shared where, and only where, codes see the same."""

from functools import partial

import jax
import numpy as np

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.framework import Code, Masking


def calls(codes, toy, views, key):
    method = fw.Method(codes, {})
    params, states = fw.init(method, toy, key)
    prepared = fw.prepare(method, toy, views, key=key)
    toy.calls.clear()
    found, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    return list(toy.calls), found


def test_two_heads_cost_one_encoder(toy, views, key):
    codes = {
        "plain": Code("a", fw.online()),
        "global": Code("a", fw.online(heads="projector")),
        "shares": Code("a", fw.online(heads=("projector", "prototypes"))),
    }
    made, found = calls(codes, toy, views, key)
    assert made == ["image", "projector", "prototypes"]
    np.testing.assert_array_equal(found["global"].pre_head_tokens, found["plain"].tokens)
    np.testing.assert_array_equal(found["shares"].pre_head_tokens, found["plain"].tokens)


def test_equal_masks_of_a_view_are_one_mask(toy, views, key):
    half, codes = lambda: Masking(partial(masks.units, unit=2), 0.5), {}
    for name in ("x", "y"):
        codes[name] = Code("a", fw.online(heads="projector" if name == "y" else ()), half())
    made, found = calls(codes, toy, views, key)
    assert made == ["image", "projector"]
    np.testing.assert_array_equal(found["x"].index, found["y"].index)


def test_other_views_weights_and_masks_are_other_passes(toy, views, key):
    codes = {
        "a": Code("a", fw.online()),
        "b": Code("b", fw.online()),
        "average": Code("a", fw.ema()),
        "masked": Code("a", fw.online(), Masking(masks.random, 0.5)),
    }
    made, _ = calls(codes, toy, views, key)
    assert made == ["image"] * 4


def test_a_shared_pass_has_the_gradient_of_both(toy, views, key):
    codes = {"x": Code("a", fw.online()), "z": Code("a", fw.online(heads="projector"))}
    method = fw.Method(codes, {})
    params, states = fw.init(method, toy, key)
    prepared = fw.prepare(method, toy, views, key=key)

    def total(params, names):
        found, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
        return sum(found[n].tokens.sum() for n in names)

    both, x, z = (jax.grad(total)(params, names) for names in (("x", "z"), ("x",), ("z",)))
    jax.tree.map(
        lambda b, one, two: np.testing.assert_allclose(b, one + two, rtol=1e-5, atol=1e-6),
        both,
        x,
        z,
    )


def test_views_that_are_encoded_together_are_one_pass(toy, views, key):
    apart = {v: Code(v, fw.online(heads="projector")) for v in "ab"}
    as_one = {v: Code(v, fw.online(heads="projector", together=True)) for v in "ab"}
    made, found = calls(as_one, toy, views, key)
    assert made == ["image", "projector"]
    _, wanted = calls(apart, toy, views, key)
    for v in "ab":
        assert not np.array_equal(found["a"].pooled, wanted["b"].pooled)
        for part in ("tokens", "pooled", "pre_head_tokens"):
            # Sums of numbers of size one, which another compiler adds in another order: 4 ulps.
            np.testing.assert_allclose(
                getattr(found[v], part), getattr(wanted[v], part), rtol=1e-6, atol=5e-7
            )
