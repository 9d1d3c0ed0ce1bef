"""Prediction losses against float64 formulas, finite differences, and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from scipy.special import logsumexp

from m3i_jax import losses

RNG = np.random.default_rng(0)
B, M, D = 8, 11, 6
PREDICTION, TARGET = RNG.normal(size=(2, B, D))
CANDIDATES = RNG.normal(size=(M, D))
INDEX = RNG.integers(0, M, B).astype(np.int32)
ORDER = RNG.permutation(B).astype(np.int32)
LABELS = RNG.uniform(size=(B, D))
VALID = np.array([True] * 5 + [False] * 2 + [True] * 4)
PRESENT = np.array([True, False, True, True, True, False, True, True])


def gaussian(p, t, sigma2=None):
    return ((t - p) ** 2).sum(-1) / (2 * (p.shape[-1] / 2 if sigma2 is None else sigma2))


def laplace(p, t, scale=None):
    return np.abs(t - p).sum(-1) / (p.shape[-1] if scale is None else scale)


def huber(p, t, delta=1.0):
    e = np.abs(t - p)
    return np.where(e < delta, e**2 / (2 * delta), e - delta / 2).sum(-1) / p.shape[-1]


def bernoulli(a, y):
    q = 1 / (1 + np.exp(-a))
    return -(y * np.log(q) + (1 - y) * np.log(1 - q))


def boltzmann(p, c, index, temperature=1.0, label_smoothing=0.0, valid=None):
    valid = np.ones(len(c), bool) if valid is None else valid
    out = np.zeros(len(p))
    for i in range(len(p)):
        if index[i] < 0 or not valid[index[i]]:
            continue
        logits = c @ p[i] / temperature
        log_q = logits - logsumexp(logits[valid])
        share = np.where(valid, label_smoothing / valid.sum(), 0.0)
        share[index[i]] += 1 - label_smoothing
        out[i] = -(share * np.where(valid, log_q, 0)).sum()
    return out


def info_nce(p, c, index, temperature=1.0, valid=None):
    valid = np.ones(len(c), bool) if valid is None else valid
    out, s = np.zeros(len(p)), p @ c.T / temperature
    rows = [r for r in range(len(p)) if valid[index[r]]]
    for i in rows:
        own = index[i]
        out[i] = 0.5 * (logsumexp(s[i, valid]) + logsumexp(s[rows, own])) - s[i, own]
    return out


ROWS = CANDIDATES[:B]
CASES = {
    "gaussian": (losses.gaussian, gaussian, (PREDICTION, TARGET), {}),
    "gaussian_sigma": (losses.gaussian, gaussian, (PREDICTION, TARGET), {"sigma2": 0.5}),
    "laplace": (losses.laplace, laplace, (PREDICTION, TARGET), {}),
    "laplace_scale": (losses.laplace, laplace, (PREDICTION, TARGET), {"scale": 2.0}),
    "huber": (losses.huber, huber, (PREDICTION, TARGET), {}),
    "huber_delta": (losses.huber, huber, (PREDICTION, TARGET), {"delta": 2.0}),
    "bernoulli": (losses.bernoulli, bernoulli, (PREDICTION, LABELS), {}),
    "boltzmann": (losses.boltzmann, boltzmann, (PREDICTION, CANDIDATES, INDEX), {}),
    "boltzmann_all": (
        losses.boltzmann,
        boltzmann,
        (PREDICTION, CANDIDATES, INDEX),
        {"temperature": 0.2, "label_smoothing": 0.1, "valid": VALID},
    ),
    "boltzmann_smooth": (
        losses.boltzmann,
        boltzmann,
        (PREDICTION, CANDIDATES, INDEX),
        {"label_smoothing": 0.3},
    ),
    "info_nce": (losses.info_nce, info_nce, (PREDICTION, ROWS, ORDER), {"temperature": 0.5}),
    "info_nce_valid": (losses.info_nce, info_nce, (PREDICTION, ROWS, ORDER), {"valid": PRESENT}),
}
WEIGHTS = RNG.normal(size=(B, D))  # of the values in a scalar, so that no error can cancel


def scalar(fn, args, options):
    value = fn(*args, **options)
    weights = WEIGHTS if value.ndim == 2 else WEIGHTS[:, 0]
    return (value * weights).sum()


def as_float32(args):
    return tuple(a if a.dtype == np.int32 else jnp.asarray(a, jnp.float32) for a in args)


@pytest.mark.parametrize("name", CASES)
def test_values_equal_the_formula(name):
    fn, reference, args, options = CASES[name]
    value = jax.jit(lambda *a: fn(*a, **options))(*as_float32(args))
    assert value.dtype == np.float32
    # float32 sums of 6 to 11 terms; logits reach 30 at temperature 0.2.
    np.testing.assert_allclose(value, reference(*args, **options), rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences(name):
    fn, reference, args, options = CASES[name]
    floats = [i for i, a in enumerate(args) if a.dtype != np.int32]
    got = jax.jit(jax.grad(lambda *a: scalar(fn, a, options), argnums=floats))(*as_float32(args))
    for i, gradient in zip(floats, got, strict=True):
        wanted, step = np.zeros(args[i].shape), 1e-6
        for place in np.ndindex(args[i].shape):
            ends = []
            for sign in (1, -1):
                moved = list(args)
                moved[i] = args[i].copy()
                moved[i][place] += sign * step
                ends.append(scalar(reference, moved, options))
            wanted[place] = (ends[0] - ends[1]) / (2 * step)
        # Central differences in float64 are good to 1e-8; the rest is float32.
        np.testing.assert_allclose(gradient, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_eight_devices_equal_one(name):
    fn, _, args, options = CASES[name]
    args = as_float32(args)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    spread = tuple(jax.device_put(a, rows) if a.shape[0] == B else a for a in args)
    step = jax.jit(jax.value_and_grad(lambda *a: scalar(fn, a, options), argnums=(0, 1)))
    (one, one_grads), (many, many_grads) = step(*args), step(*spread)
    np.testing.assert_allclose(many, one, rtol=2e-6)
    for a, b in zip(many_grads, one_grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_in_degenerate_situations(name):
    fn, _, args, options = CASES[name]
    args, fixed = as_float32(args), {k: v for k, v in options.items() if k != "valid"}
    valid = {k: v for k, v in options.items() if k == "valid"}
    step = jax.jit(
        jax.value_and_grad(lambda p, t, *i, **v: fn(p, t, *i, **fixed, **v).sum(), argnums=(0, 1))
    )
    floats, index = args[:2], args[2:]
    one = tuple(a[:1] for a in floats), tuple(jnp.zeros_like(i[:1]) for i in index)
    situations = {
        "zero": (tuple(map(jnp.zeros_like, floats)), index, valid),
        "constant": (tuple(map(jnp.ones_like, floats)), index, valid),
        "equal": ((floats[1], floats[1]) if not index else floats, index, valid),
        "one row": (*one, {k: v[:1] for k, v in valid.items()}),
        "none valid": (floats, index, {k: np.zeros_like(v) for k, v in valid.items()}),
    }
    for situation, (floats, index, valid) in situations.items():
        value, grads = step(*floats, *index, **valid)
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads), situation
        if situation == "none valid" and valid:
            assert value == 0 and not any(g.any() for g in grads)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_gaussian_of_half_on_unit_vectors_is_two_minus_two_cosines():
    z, p = unit(TARGET), unit(PREDICTION)
    value = losses.gaussian(p, z, sigma2=0.5)
    np.testing.assert_allclose(value, 2 - 2 * (z * p).sum(-1), rtol=1e-5)


@pytest.mark.parametrize("tau", [1.0, 0.2])
def test_boltzmann_is_the_gaussian_renormalised_over_unit_candidates(tau):
    p, c = unit(PREDICTION), unit(CANDIDATES)
    negative = -np.asarray(losses.gaussian(p[:, None], c[None].repeat(B, 0), sigma2=tau))
    log_q = np.take_along_axis(negative, INDEX[:, None], 1)[:, 0] - logsumexp(negative, axis=1)
    value = losses.boltzmann(p, c, INDEX, temperature=tau)
    np.testing.assert_allclose(value, -log_q, rtol=2e-5, atol=2e-6)


def test_the_defaults_are_mean_squared_and_mean_absolute_error():
    error = TARGET - PREDICTION
    np.testing.assert_allclose(losses.gaussian(PREDICTION, TARGET), (error**2).mean(-1), rtol=1e-5)
    np.testing.assert_allclose(losses.laplace(PREDICTION, TARGET), abs(error).mean(-1), rtol=1e-5)


@pytest.mark.parametrize("fn", [losses.gaussian, losses.laplace, losses.huber, losses.bernoulli])
def test_leading_positions_are_free_and_low_precision_is_raised_first(fn):
    p, t = (jnp.asarray(x, jnp.bfloat16).reshape(2, 4, D) for x in (PREDICTION, TARGET))
    value = fn(p, t)
    assert value.shape[:2] == (2, 4) and value.dtype == jnp.float32
    exact = fn(p.astype(jnp.float32), t.astype(jnp.float32))
    np.testing.assert_array_equal(value, exact)


def test_candidates_that_do_not_exist_change_nothing():
    options = {"label_smoothing": 0.1, "temperature": 0.5}
    short = losses.boltzmann(PREDICTION, CANDIDATES[:5], INDEX % 5, **options)
    padded = CANDIDATES.copy()
    padded[5:] = 1e6
    valid = np.arange(M) < 5
    long = losses.boltzmann(PREDICTION, padded, INDEX % 5, valid=valid, **options)
    np.testing.assert_allclose(long, short, rtol=1e-6)


def test_a_row_without_target_has_no_loss_and_no_gradient():
    index = INDEX.copy()
    index[3] = -1
    fn = lambda p: losses.boltzmann(p, CANDIDATES, index)  # noqa: E731
    assert fn(PREDICTION)[3] == 0
    gradient = jax.grad(lambda p: fn(p).sum())(jnp.asarray(PREDICTION))
    assert not gradient[3].any() and gradient[2].any()


def test_an_impossible_label_is_loud():
    index = INDEX.copy()
    index[3] = M
    assert np.isnan(losses.boltzmann(PREDICTION, CANDIDATES, index)[3])


def test_an_absent_sample_leaves_the_others_as_if_it_were_not_there():
    whole = losses.info_nce(PREDICTION, ROWS, ORDER, valid=PRESENT)
    rows = PRESENT[ORDER]
    rank = np.cumsum(PRESENT) - 1
    part = losses.info_nce(PREDICTION[rows], ROWS[PRESENT], rank[ORDER[rows]].astype(np.int32))
    np.testing.assert_allclose(whole[rows], part, rtol=1e-6)
    assert not whole[~rows].any()


def test_info_nce_is_the_mean_of_both_directions_and_of_their_gradients():
    index = np.arange(B, dtype=np.int32)

    def both(p, c):
        there, back = losses.boltzmann(p, c, index), losses.boltzmann(c, p, index)
        return 0.5 * (there + back).sum()

    args = as_float32((PREDICTION, ROWS))
    one = jax.grad(lambda p, c: losses.info_nce(p, c, index).sum(), argnums=(0, 1))(*args)
    two = jax.grad(both, argnums=(0, 1))(*args)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_temperature_can_be_learned():
    slope = jax.grad(lambda t: losses.info_nce(PREDICTION, ROWS, ORDER, temperature=t).sum())(0.5)
    step = 1e-5
    ends = [info_nce(PREDICTION, ROWS, ORDER, temperature=0.5 + s * step).sum() for s in (1, -1)]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / (2 * step), rtol=1e-4)
