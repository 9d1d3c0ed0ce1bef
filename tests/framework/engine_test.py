"""The engine on the toy network: what is encoded, what flows where, what is weighed."""

import jax
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import methods


def start(method, toy, views, key):
    params, states = fw.init(method, toy, key)
    return params, states, fw.prepare(method, toy, views, key=key)


def scores_of(method, toy, params, states, prepared, key):
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    return fw.score(method, toy, params, representations, prepared, train=True, key=key)


METHODS = {
    "classification": methods.classification,
    "mae": lambda: methods.mae(fw.pixels(normalization="raw")),
    "siamese_im": lambda: methods.siamese_im(projector=False),
    "m3i": methods.m3i,
    "m3i without mix": lambda: methods.m3i(mix=False),
}


@pytest.fixture(params=METHODS, ids=str)
def method(request, toy):
    method = METHODS[request.param]()
    if request.param == "mae":  # the toy decoder predicts WIDTH dimensions only
        cut = lambda f: f._replace(tokens=f.tokens[..., :6])  # noqa: E731
        target = fw.then(fw.pixels(normalization="raw"), cut, name="six numbers")
        method = methods.mae(target)
    return method


def test_gradients_equal_those_of_the_plain_sum(method, toy, views, key):
    params, states, prepared = start(method, toy, views, key)

    def plain(params):
        scores = scores_of(method, toy, params, states, prepared, key)
        return sum(s.loss for s in scores.values())

    loss, grads = jax.value_and_grad(plain)(params)
    found = fw.gradients(method, toy, fw.constant(), params, states, prepared, balance={}, key=key)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found.params, grads
    )


def test_balanced_gradient_is_that_of_ssp_plus_lambda_sp(toy, views, key):
    method, weighting = methods.m3i(), fw.gradient_norm(gamma=0.7)
    params, states, prepared = start(method, toy, views, key)
    found = fw.gradients(
        method, toy, weighting, params, states, prepared, balance=weighting.init(), key=key
    )
    balance = float(found.weights["sp"])

    def plain(params):
        scores = scores_of(method, toy, params, states, prepared, key)
        group = lambda g: sum(s.loss for n, s in scores.items() if method.terms[n].group == g)  # noqa: E731
        return group("ssp") + balance * group("sp")

    loss, grads = jax.value_and_grad(plain)(params)
    np.testing.assert_allclose(found.loss, loss, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), found.params, grads
    )
    # After one step the averages are the norms themselves.
    np.testing.assert_allclose(balance, 0.7 * found.norms["ssp"] / found.norms["sp"], rtol=1e-5)


def test_norm_is_taken_at_the_input_features(toy, views, key):
    method, weighting = methods.m3i(), fw.gradient_norm()
    params, states, prepared = start(method, toy, views, key)
    representations, *_ = fw.encode(method, toy, params, states, prepared, train=True, key=key)

    def ssp(tokens):
        moved = representations | {"x": representations["x"]._replace(tokens=tokens)}
        scores = fw.score(method, toy, params, moved, prepared, train=True, key=key)
        return scores["intra"].loss + scores["inter"].loss

    norm = np.linalg.norm(jax.grad(ssp)(representations["x"].tokens))
    found = fw.gradients(
        method, toy, weighting, params, states, prepared, balance=weighting.init(), key=key
    )
    np.testing.assert_allclose(found.norms["ssp"], norm, rtol=1e-5)


def test_each_code_is_encoded_once_even_when_balanced(toy, views, key):
    method, weighting = methods.m3i(), fw.gradient_norm()
    params, states, prepared = start(method, toy, views, key)
    toy.calls.clear()
    fw.gradients(
        method, toy, weighting, params, states, prepared, balance=weighting.init(), key=key
    )
    # The mix, its target, the categories, the texts: four codes for six terms.
    assert sorted(toy.calls) == ["category", "image", "image", "text"]


def test_no_gradient_reaches_a_moving_average(method, toy, views, key):
    params, states, prepared = start(method, toy, views, key)

    def through(states):
        scores = scores_of(method, toy, params, states, prepared, key)
        return sum(s.loss for s in scores.values())

    assert all(not np.any(leaf) for leaf in jax.tree.leaves(jax.grad(through)(states)))


def made_of(code):
    """Codes and view of a method whose input is view a, brightened by what a code says of it."""

    def make(key, views, made, *, grid, patch):
        bright = made.representations["light"].tokens.mean((1, 2))[:, None, None, None]
        return views["a"]._replace(data=views["a"].data * (1.0 + bright))

    painted = fw.DerivedView(("a",), make, lambda region, grid: 0, codes={"light": code})
    codes = {"late": fw.Code("painted", fw.online()), "guess": fw.Code("a", fw.online())}
    return codes | {"y": fw.Code("b", fw.ema())}, {"painted": painted}


def test_a_view_made_of_a_code_carries_no_gradient_to_it(toy, views, key):
    codes, derived = made_of("guess")
    terms = {"t": fw.Term("late", "y", "image", fw.gaussian())}
    method = fw.Method(codes, terms, derived)
    assert method.order == ("guess", "late", "y") and method.sources == {"a", "b"}
    params, states, prepared = start(method, toy, views, key)
    assert "painted" not in prepared.views
    found = fw.gradients(method, toy, fw.constant(), params, states, prepared, balance={}, key=key)
    *_, complete = fw.encode(method, toy, params, states, prepared, train=True, key=key)
    # The same with the view handed in, as if the host had made it.
    given = views | {"painted": complete.views["painted"]}
    assert not np.allclose(given["painted"].data, views["a"].data)
    fixed = fw.Method({n: codes[n] for n in ("late", "y")}, terms)
    prepared = fw.prepare(fixed, toy, given, key=key)
    want = fw.gradients(fixed, toy, fw.constant(), params, states, prepared, balance={}, key=key)
    np.testing.assert_array_equal(found.loss, want.loss)
    jax.tree.map(np.testing.assert_array_equal, found.params, want.params)


def test_views_and_codes_that_wait_for_each_other_are_refused():
    codes, derived = made_of("late")
    with pytest.raises(ValueError, match="codes wait for each other: late <- late"):
        fw.Method(codes, {}, derived)
    codes, derived = made_of("gues")
    with pytest.raises(ValueError, match="made of code 'gues'; did you mean 'guess'"):
        fw.Method(codes, {}, derived)
    codes, derived = made_of("guess")
    codes["late"] = codes["late"]._replace(mask=fw.Masking(None, 0.5))
    with pytest.raises(ValueError, match="sees a view made of codes, which has no mask"):
        fw.Method(codes, {}, derived)
