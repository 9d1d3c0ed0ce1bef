"""Losses over candidates against float64 loops, finite differences, and on eight devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from m3i_jax import losses
from m3i_jax.losses import chunked

RNG = np.random.default_rng(0)
B, L, M, D = 8, 3, 11, 6


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32).astype(np.float64)


PREDICTION, POSITIVE, OTHERS = normal(B, D), normal(B, D), normal(B, D)
CANDIDATES = normal(M, D)
TOKENS, TARGETS = normal(B, L, D), normal(B, L, D)
INDEX = RNG.integers(0, M, B).astype(np.int32)
ORDER = RNG.permutation(B).astype(np.int32)
VALID = np.array([True] * 5 + [False] * 2 + [True] * 4)
PRESENT = np.array([True, False, True, True, True, False, True, True])
ROWS = CANDIDATES[:B]
KINDS = np.array([0, 1, 0, 2, -1, -6, 0, 1], np.int32)


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


def binary(p, c, index):
    out = np.zeros(len(p))
    for i in range(len(p)):
        for k in range(len(c)):
            yes = 1 / (1 + np.exp(-p[i] @ c[k]))
            out[i] -= np.log(yes if k in index[i] else 1 - yes) / len(c)
    return out


def info_nce(p, c, index, temperature=1.0, valid=None):
    valid = np.ones(len(c), bool) if valid is None else valid
    out, s = np.zeros(len(p)), p @ c.T / temperature
    rows = [r for r in range(len(p)) if valid[index[r]]]
    for i in rows:
        own = index[i]
        out[i] = 0.5 * (logsumexp(s[i, valid]) + logsumexp(s[rows, own])) - s[i, own]
    return out


def contrast(p, positive, negatives, temperature=1.0):
    out = np.zeros(p.shape[:-1])
    for place in np.ndindex(out.shape):
        logits = np.r_[p[place] @ positive[place], negatives @ p[place]] / temperature
        out[place] = -np.log(np.exp(logits[0]) / np.exp(logits).sum())
    return out


def nt_xent(p, positive, temperature=1.0):
    out = []
    for i in range(len(p)):
        others = [p[j] for j in range(len(p)) if j != i] + list(positive)
        total = sum(np.exp(p[i] @ other / temperature) for other in others)
        out.append(-np.log(np.exp(p[i] @ positive[i] / temperature) / total))
    return np.array(out)


def sup_con(p, positive, identity, temperature=1.0):
    out = []
    for i in range(len(p)):
        others = [(p[j], j) for j in range(len(p)) if j != i] + [
            *zip(positive, range(len(p)), strict=True)
        ]
        log_total = logsumexp([p[i] @ z / temperature for z, _ in others])
        right = [p[i] @ z / temperature for z, j in others if identity[j] == identity[i]]
        out.append(-np.mean([s - log_total for s in right]))
    return np.array(out)


def pairwise_sigmoid(p, c, index, temperature=1.0, bias=0.0, valid=None):
    valid = np.ones(len(c), bool) if valid is None else valid
    out = np.zeros(len(p))
    for i in range(len(p)):
        if index[i] >= 0 and valid[index[i]]:
            for j in np.flatnonzero(valid):
                sign = 1 if j == index[i] else -1
                out[i] += np.log1p(np.exp(-sign * (p[i] @ c[j] / temperature + bias)))
    return out


def dense_contrast(p, target, others, temperature=1.0):
    out = np.zeros(p.shape[:2])
    for b, l in np.ndindex(out.shape):
        candidates = [*target[b], *(others[c] for c in range(len(others)) if c != b)]
        logits = np.array(candidates) @ p[b, l] / temperature
        out[b, l] = logsumexp(logits) - p[b, l] @ target[b, l] / temperature
    return out


MISSING = np.where(np.arange(B) == 2, -1, INDEX).astype(np.int32)
# Two categories in each row, in the first one twice the same.
BOTH = np.stack([INDEX, np.r_[INDEX[:1], (INDEX[1:] + 3) % M]], axis=1)
SMOOTH = {"temperature": 0.2, "label_smoothing": 0.1, "valid": VALID}
SIGLIP = {"temperature": 0.5, "bias": -2.0, "valid": VALID}
TABLE = (PREDICTION, CANDIDATES, INDEX)
CASES = {
    "boltzmann": (losses.boltzmann, boltzmann, TABLE, {}),
    "boltzmann_all": (losses.boltzmann, boltzmann, TABLE, SMOOTH),
    "binary": (losses.binary, binary, (PREDICTION, CANDIDATES, BOTH), {}),
    "binary_one": (losses.binary, binary, (PREDICTION, CANDIDATES, INDEX[:, None]), {}),
    "boltzmann_smooth": (losses.boltzmann, boltzmann, TABLE, {"label_smoothing": 0.3}),
    "info_nce": (losses.info_nce, info_nce, (PREDICTION, ROWS, ORDER), {"temperature": 0.5}),
    "info_nce_valid": (losses.info_nce, info_nce, (PREDICTION, ROWS, ORDER), {"valid": PRESENT}),
    "contrast": (
        losses.contrast,
        contrast,
        (PREDICTION, POSITIVE, CANDIDATES),
        {"temperature": 0.5},
    ),
    "contrast_dense": (losses.contrast, contrast, (TOKENS, TARGETS, CANDIDATES), {}),
    "nt_xent": (losses.nt_xent, nt_xent, (PREDICTION, POSITIVE), {"temperature": 0.5}),
    "sup_con": (losses.sup_con, sup_con, (PREDICTION, POSITIVE, KINDS), {"temperature": 0.5}),
    "pairwise_sigmoid": (losses.pairwise_sigmoid, pairwise_sigmoid, TABLE, {}),
    "pairwise_sigmoid_all": (
        losses.pairwise_sigmoid,
        pairwise_sigmoid,
        (PREDICTION, CANDIDATES, MISSING),
        SIGLIP,
    ),
    "dense_contrast": (
        losses.dense_contrast,
        dense_contrast,
        (TOKENS, TARGETS, OTHERS),
        {"temperature": 0.5},
    ),
}
# The same a few candidates at a time: of 11 four chunks with a gap, of 8 four that fit.
FEW = ("boltzmann_all", "binary", "info_nce_valid", "contrast_dense", "sup_con",
       "pairwise_sigmoid_all", "dense_contrast")  # fmt: skip
CASES |= {name + "_chunked": (*CASES[name][:3], CASES[name][3] | {"whole": 24}) for name in FEW}


def case(name):
    """What `check` takes; chunks are nothing that a formula knows of."""
    fn, reference, args, options = CASES[name]
    whole = options.get("whole", chunked.WHOLE)
    rest = {key: value for key, value in options.items() if key != "whole"}
    return partial(fn, whole=whole), reference, args, rest


@pytest.mark.parametrize("name", CASES)
def test_values_equal_the_formula(name, check):
    # Logits reach 30 at temperature 0.2 and 15 at 0.5; float32 has them to 2e-6 and 1e-6.
    check.value(*case(name), atol=3e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences(name, check):
    check.gradient(*case(name))


@pytest.mark.parametrize("name", CASES)
def test_eight_devices_equal_one(name, check):
    fn, _, args, options = CASES[name]
    check.devices(fn, args, options)


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_in_degenerate_situations(name, check):
    fn, _, args, options = CASES[name]
    check.finite(fn, args, {k: v for k, v in options.items() if k != "valid"})


@pytest.mark.parametrize("fn", [losses.boltzmann, losses.info_nce, losses.pairwise_sigmoid])
def test_where_nothing_is_valid_there_is_no_loss_and_no_gradient(fn):
    none = np.zeros(B, bool)
    args = jnp.asarray(PREDICTION, jnp.float32), jnp.asarray(ROWS, jnp.float32)
    step = jax.value_and_grad(lambda p, c: fn(p, c, ORDER, valid=none).sum(), argnums=(0, 1))
    value, grads = step(*args)
    assert value == 0 and not any(g.any() for g in grads)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.mark.parametrize("tau", [1.0, 0.2])
def test_boltzmann_is_the_gaussian_renormalised_over_unit_candidates(tau):
    p, c = unit(PREDICTION), unit(CANDIDATES)
    negative = -np.asarray(losses.gaussian(*np.broadcast_arrays(p[:, None], c[None]), sigma2=tau))
    log_q = np.take_along_axis(negative, INDEX[:, None], 1)[:, 0] - logsumexp(negative, axis=1)
    value = losses.boltzmann(p, c, INDEX, temperature=tau)
    np.testing.assert_allclose(value, -log_q, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("fn", [losses.boltzmann, losses.pairwise_sigmoid])
def test_candidates_that_do_not_exist_change_nothing(fn):
    short = fn(PREDICTION, CANDIDATES[:5], INDEX % 5, temperature=0.5)
    padded = CANDIDATES.copy()
    padded[5:] = 1e6
    long = fn(PREDICTION, padded, INDEX % 5, valid=np.arange(M) < 5, temperature=0.5)
    np.testing.assert_allclose(long, short, rtol=1e-6)


@pytest.mark.parametrize("fn", [losses.boltzmann, losses.pairwise_sigmoid])
def test_a_row_without_target_has_no_loss_and_no_gradient(fn):
    assert fn(PREDICTION, CANDIDATES, MISSING)[2] == 0
    gradient = jax.grad(lambda p: fn(p, CANDIDATES, MISSING).sum())(jnp.asarray(PREDICTION))
    assert not gradient[2].any() and gradient[3].any()


@pytest.mark.parametrize("fn", [losses.boltzmann, losses.pairwise_sigmoid])
def test_an_impossible_label_is_loud(fn):
    index = np.where(np.arange(B) == 3, M, INDEX)
    np.testing.assert_array_equal(np.isnan(fn(PREDICTION, CANDIDATES, index)), np.arange(B) == 3)


@pytest.mark.parametrize("fn", [losses.boltzmann, losses.info_nce, losses.pairwise_sigmoid])
def test_an_impossible_label_is_loud_where_the_last_candidate_does_not_exist(fn):
    rows = ROWS if fn is losses.info_nce else CANDIDATES
    index = np.where(np.arange(B) == 3, len(rows), np.arange(B) % 2)
    found = fn(PREDICTION, rows, index, valid=np.arange(len(rows)) < len(rows) - 1)
    assert np.isnan(found[3])


def test_a_category_beyond_the_table_is_loud():
    """It was nobody's, and the row counted as one that shows nothing."""
    index = np.where(np.arange(2 * B).reshape(B, 2) == 7, M, BOTH)
    found = losses.binary(PREDICTION, CANDIDATES, index)
    np.testing.assert_array_equal(np.isnan(found), np.arange(B) == 3)
    none = np.where(np.arange(2 * B).reshape(B, 2) % 2 == 1, -1, BOTH)
    alone = losses.binary(PREDICTION, CANDIDATES, BOTH[:, :1])
    np.testing.assert_array_equal(losses.binary(PREDICTION, CANDIDATES, none), alone)


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

    args = jnp.asarray(PREDICTION, jnp.float32), jnp.asarray(ROWS, jnp.float32)
    one = jax.grad(lambda p, c: losses.info_nce(p, c, index).sum(), argnums=(0, 1))(*args)
    two = jax.grad(both, argnums=(0, 1))(*args)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_contrast_is_boltzmann_over_its_positive_and_the_queue():
    value = losses.contrast(PREDICTION, POSITIVE, CANDIDATES, temperature=0.2)
    for i in range(B):
        table = np.concatenate([POSITIVE[i : i + 1], CANDIDATES])
        zero = np.zeros(1, np.int32)
        wanted = losses.boltzmann(PREDICTION[i : i + 1], table, zero, temperature=0.2)
        np.testing.assert_allclose(value[i], wanted[0], rtol=1e-6, atol=3e-6)


def test_nt_xent_both_ways_round_is_cross_entropy_over_all_pairs_but_oneself():
    z, tau = np.concatenate([PREDICTION, POSITIVE]), 0.3
    s = z @ z.T / tau
    np.fill_diagonal(s, -np.inf)
    partner = np.r_[np.arange(B, 2 * B), np.arange(B)]
    wanted = (logsumexp(s, axis=1) - s[np.arange(2 * B), partner]).mean()
    ways = [
        losses.nt_xent(a, b, temperature=tau).mean()
        for a, b in ((PREDICTION, POSITIVE), (POSITIVE, PREDICTION))
    ]
    np.testing.assert_allclose(sum(ways) / 2, wanted, rtol=2e-6)


def test_the_sigmoid_is_precise_where_it_is_sure():
    p = np.array([[30.0]])
    value = losses.pairwise_sigmoid(p, np.array([[1.0], [-1.0]]), np.zeros(1, np.int32))
    np.testing.assert_allclose(value, 2 * np.log1p(np.exp(-30.0)), rtol=1e-6)


def test_an_image_never_meets_its_own_average():
    fn = lambda others: losses.dense_contrast(TOKENS, TARGETS, others)  # noqa: E731
    grads = jax.jacobian(lambda others: fn(others).sum(1))(jnp.asarray(OTHERS, jnp.float32))
    met = np.abs(grads).max(-1) > 0
    np.testing.assert_array_equal(met, ~np.eye(B, dtype=bool))


TEMPERATURES = {
    "info_nce": (losses.info_nce, info_nce, (PREDICTION, ROWS, ORDER)),
    "contrast": (losses.contrast, contrast, (PREDICTION, POSITIVE, CANDIDATES)),
    "nt_xent": (losses.nt_xent, nt_xent, (PREDICTION, POSITIVE)),
    "pairwise_sigmoid": (losses.pairwise_sigmoid, pairwise_sigmoid, TABLE),
    "dense_contrast": (losses.dense_contrast, dense_contrast, (TOKENS, TARGETS, OTHERS)),
}


@pytest.mark.parametrize("name", TEMPERATURES)
def test_the_temperature_can_be_learned(name):
    fn, reference, args = TEMPERATURES[name]
    grad = jax.grad(lambda t: fn(*args, temperature=t).sum())(0.5)
    step = 1e-5
    ends = [reference(*args, temperature=0.5 + s * step).sum() for s in (1, -1)]
    np.testing.assert_allclose(grad, (ends[0] - ends[1]) / (2 * step), rtol=1e-4)


def test_the_sigmoids_bias_can_be_learned():
    grad = jax.grad(lambda b: losses.pairwise_sigmoid(*TABLE, bias=b).sum())(-2.0)
    step = 1e-5
    ends = [pairwise_sigmoid(*TABLE, bias=-2.0 + s * step).sum() for s in (1, -1)]
    np.testing.assert_allclose(grad, (ends[0] - ends[1]) / (2 * step), rtol=1e-4)
