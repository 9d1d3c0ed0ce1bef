"""Prediction losses against float64 formulas, finite differences, and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from m3i_jax import losses

RNG = np.random.default_rng(0)
B, D, V = 8, 6, 11


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32).astype(np.float64)


PREDICTION, TARGET = normal(B, D), normal(B, D)
LABELS = RNG.uniform(size=(B, D)).astype(np.float32).astype(np.float64)
LOGITS = 5 * normal(B, 3, V)
INDEX = RNG.integers(0, V, (B, 3)).astype(np.int32)
INDEX[3, 1] = -1
VALID = np.array([True] * 5 + [False] * 2 + [True] * 4)
SHARES = np.exp(normal(B, 3, V))
SHARES = (SHARES / SHARES.sum(-1, keepdims=True)).astype(np.float32).astype(np.float64)


def gaussian(p, t, sigma2=None):
    return ((t - p) ** 2).sum(-1) / (2 * (p.shape[-1] / 2 if sigma2 is None else sigma2))


def cosine(p, t):
    return 2 - 2 * (p * t).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(t, axis=-1)


def laplace(p, t, scale=None):
    return np.abs(t - p).sum(-1) / (p.shape[-1] if scale is None else scale)


def huber(p, t, delta=1.0):
    e = np.abs(t - p)
    return np.where(e < delta, e**2 / (2 * delta), e - delta / 2).sum(-1) / p.shape[-1]


def bernoulli(a, y):
    q = 1 / (1 + np.exp(-a))
    return -(y * np.log(q) + (1 - y) * np.log(1 - q))


def categorical(a, index, label_smoothing=0.0, valid=None):
    valid = np.ones(a.shape[-1], bool) if valid is None else valid
    out = np.zeros(index.shape)
    for place in np.ndindex(index.shape):
        own = index[place]
        if own < 0 or not valid[own]:
            continue
        log_q = a[place] - logsumexp(a[place][valid])
        share = np.where(valid, label_smoothing / valid.sum(), 0.0)
        share[own] += 1 - label_smoothing
        out[place] = -(share * np.where(valid, log_q, 0)).sum()
    return out


def cross_entropy(a, p, temperature=1.0):
    q = np.exp(a / temperature)
    return -(p * np.log(q / q.sum(-1, keepdims=True))).sum(-1)


CASES = {
    "gaussian": (losses.gaussian, gaussian, (PREDICTION, TARGET), {}),
    "gaussian_sigma": (losses.gaussian, gaussian, (PREDICTION, TARGET), {"sigma2": 0.5}),
    "cosine": (losses.cosine, cosine, (PREDICTION, TARGET), {}),
    "laplace": (losses.laplace, laplace, (PREDICTION, TARGET), {}),
    "laplace_scale": (losses.laplace, laplace, (PREDICTION, TARGET), {"scale": 2.0}),
    "huber": (losses.huber, huber, (PREDICTION, TARGET), {}),
    "huber_delta": (losses.huber, huber, (PREDICTION, TARGET), {"delta": 2.0}),
    "bernoulli": (losses.bernoulli, bernoulli, (PREDICTION, LABELS), {}),
    "categorical": (losses.categorical, categorical, (LOGITS, INDEX), {}),
    "categorical_smooth": (
        losses.categorical,
        categorical,
        (LOGITS, INDEX),
        {"label_smoothing": 0.1, "valid": VALID},
    ),
    "cross_entropy": (losses.cross_entropy, cross_entropy, (LOGITS, SHARES), {}),
    "cross_entropy_sharp": (
        losses.cross_entropy,
        cross_entropy,
        (LOGITS, SHARES),
        {"temperature": 0.5},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_values_equal_the_formula(name, check):
    check.value(*CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences(name, check):
    check.gradient(*CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_eight_devices_equal_one(name, check):
    fn, _, args, options = CASES[name]
    check.devices(fn, args, options)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_in_degenerate_situations(name, check):
    fn, _, args, options = CASES[name]
    check.finite(fn, args, options)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_gaussian_of_half_on_unit_vectors_is_cosine():
    value = losses.gaussian(unit(PREDICTION), unit(TARGET), sigma2=0.5)
    np.testing.assert_allclose(value, losses.cosine(7 * PREDICTION, 0.1 * TARGET), rtol=1e-5)


def test_cosine_lies_between_zero_and_four_at_any_length():
    for length in (1e-30, 1e-25, 1e-5, 1.0, 1e15, 1e25, 1e30):
        p = (PREDICTION * length).astype(np.float32)
        np.testing.assert_allclose(losses.cosine(p, p), 0, atol=1e-6)
        np.testing.assert_allclose(losses.cosine(p, -p), 4, atol=1e-6)
    np.testing.assert_array_equal(losses.cosine(np.zeros((2, D)), TARGET[:2]), 2)


@pytest.mark.parametrize("sizes", [(1e-25, 1e25), (1e-30, 1e-30), (1e25, 1e25), (1.0, 1e-12)])
def test_cosine_is_that_of_float64_at_any_length(sizes):
    p, t = ((x * n).astype(np.float32) for x, n in zip((PREDICTION, TARGET), sizes, strict=True))
    wanted = cosine(p.astype(np.float64), t.astype(np.float64))
    np.testing.assert_allclose(losses.cosine(p, t), wanted, atol=1e-6)
    for gradient in jax.grad(lambda *a: losses.cosine(*a).sum(), argnums=(0, 1))(
        *map(jnp.array, (p, t))
    ):
        assert np.isfinite(gradient).all()


def test_an_entry_that_does_not_exist_is_below_whatever_a_logit_is():
    """As −1e30 it was above logits of −1e31, and took the whole sum."""
    logits = np.array([[-1e31, -1e31, 0.0], [-2e38, -1e38, 1e38]])
    valid = np.array([True, True, False])
    found = losses.categorical(logits, np.array([0, 1]), valid=valid)
    np.testing.assert_allclose(found, [np.log(2), 0], rtol=1e-6)


def test_an_impossible_index_is_loud_even_where_the_last_entry_does_not_exist():
    valid = np.arange(V) < V - 1
    found = losses.categorical(LOGITS[:, 0], np.full(B, V), valid=valid)
    assert np.isnan(found).all()


def test_the_defaults_are_mean_squared_and_mean_absolute_error():
    error = TARGET - PREDICTION
    np.testing.assert_allclose(losses.gaussian(PREDICTION, TARGET), (error**2).mean(-1), rtol=1e-5)
    np.testing.assert_allclose(losses.laplace(PREDICTION, TARGET), abs(error).mean(-1), rtol=1e-5)


@pytest.mark.parametrize(
    "fn", [losses.gaussian, losses.cosine, losses.laplace, losses.huber, losses.bernoulli]
)
def test_leading_positions_are_free_and_low_precision_is_raised_first(fn):
    p, t = (jnp.asarray(x, jnp.bfloat16).reshape(2, 4, D) for x in (PREDICTION, TARGET))
    value = fn(p, t)
    assert value.shape[:2] == (2, 4) and value.dtype == jnp.float32
    exact = fn(p.astype(jnp.float32), t.astype(jnp.float32))
    np.testing.assert_array_equal(value, exact)


def test_a_position_without_target_has_no_loss_and_no_gradient():
    fn = lambda a: losses.categorical(a, INDEX, label_smoothing=0.1)  # noqa: E731
    assert fn(LOGITS)[3, 1] == 0
    gradient = jax.grad(lambda a: fn(a).sum())(jnp.asarray(LOGITS, jnp.float32))
    assert not gradient[3, 1].any() and gradient[3, 0].any()


def test_where_nothing_is_valid_there_is_no_loss_and_no_gradient():
    fn = lambda a: losses.categorical(a, INDEX, valid=np.zeros(V, bool), label_smoothing=0.1)  # noqa: E731
    value, gradient = jax.value_and_grad(lambda a: fn(a).sum())(jnp.asarray(LOGITS, jnp.float32))
    assert value == 0 and not gradient.any()


def test_an_impossible_label_is_loud():
    value = losses.categorical(LOGITS, np.where(INDEX == INDEX[0, 0], V, INDEX))
    np.testing.assert_array_equal(np.isnan(value), INDEX == INDEX[0, 0])


def test_entries_may_exist_for_some_positions_only():
    valid = RNG.random((B, 3, V)) < 0.6
    value = losses.categorical(LOGITS, INDEX, valid=valid, label_smoothing=0.2)
    for place in np.ndindex(INDEX.shape):
        wanted = categorical(LOGITS[place], INDEX[place], 0.2, valid[place])
        np.testing.assert_allclose(value[place], wanted, rtol=1e-6, atol=1e-6)


def test_a_common_offset_of_the_logits_costs_no_digits():
    offset = 4096.0  # float32 there has steps of 5e-4, which the logits are made to fit
    logits = np.round(LOGITS * 256) / 256
    far = losses.categorical((logits + offset).astype(np.float32), INDEX)
    np.testing.assert_allclose(far, categorical(logits, INDEX), rtol=1e-6, atol=1e-7)


def test_soft_targets_at_one_entry_are_hard_ones():
    index = np.maximum(INDEX, 0)
    soft = losses.cross_entropy(LOGITS, np.eye(V)[index])
    np.testing.assert_allclose(soft, losses.categorical(LOGITS, index), rtol=1e-6, atol=1e-6)


def test_gram_matrices_do_not_know_rotations_nor_lengths(check):
    z, y = (RNG.normal(size=(2, 8, 5, 6))).astype(np.float32).astype(np.float64)

    def gram(p, t):
        p, t = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (p, t))
        return ((p @ p.swapaxes(1, 2) - t @ t.swapaxes(1, 2)) ** 2).mean(-1)

    check.value(losses.gram, gram, (z, y), {}, atol=1e-6)
    check.gradient(losses.gram, gram, (z[:3], y[:3]), {})
    check.devices(losses.gram, (z, y), {})
    check.finite(losses.gram, (z, y), {})
    turn, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    np.testing.assert_allclose(losses.gram(z, 3 * z @ turn), 0, atol=1e-10)
