"""Attention with an answer, formulas in float64, and shifted windows by brute force on the map."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.analysis import attention_distance, attention_entropy, head_divergence
from m3i_jax.analysis.attention import distances
from m3i_jax.nn.windows import APART, cells, fit, together
from m3i_jax.types import Scores

GRIDS = [(3, 3), (2, 5)]


def positions(grid):
    return np.stack([axis.reshape(-1) for axis in np.indices(grid)], -1).astype(np.float64)


def softmax(logits):
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def drawn(*shape, spread=2.0, seed=0):
    return np.float32(np.random.default_rng(seed).normal(0, spread, shape))


def measured(p, grid, patch):
    """Distance, entropy and divergence of weights without zeros, in float64, pair by pair."""
    at = positions(grid)
    far = patch * np.linalg.norm(at[:, None] - at[None], axis=-1)
    logs = np.log(p)
    pairs = (p[..., :, None, :, :] * (logs[..., :, None, :, :] - logs[..., None, :, :, :])).sum(-1)
    return (p * far).sum(-1).mean(-1), -(p * logs).sum(-1).mean(-1), pairs.mean(-1)


def ours(attention, grid, patch, **how):
    return jax.jit(
        lambda a: (
            attention_distance(a, grid, patch, **how),
            attention_entropy(a, **how),
            head_divergence(a, **how),
        )
    )(attention)


@pytest.mark.parametrize("grid", GRIDS)
def test_even_attention(grid):
    n = grid[0] * grid[1]
    distance, entropy, divergence = ours(np.full((2, n, n), 1 / n, np.float32), grid, 16)
    rows, columns = np.arange(grid[0]), np.arange(grid[1])
    squares = (rows[:, None] - rows) ** 2, (columns[:, None] - columns) ** 2
    mean = np.sqrt(squares[0][:, None, :, None] + squares[1][None, :, None, :]).mean()
    np.testing.assert_allclose(distance, [16 * mean] * 2, rtol=1e-6)
    np.testing.assert_allclose(entropy, [np.log(n)] * 2, rtol=2e-6)
    np.testing.assert_array_equal(divergence, np.zeros((2, 2)))


@pytest.mark.parametrize("grid", GRIDS)
def test_each_cell_attends_to_itself(grid):
    eye = np.eye(grid[0] * grid[1], dtype=np.float32)[None]
    distance, entropy, divergence = ours(eye, grid, 16)
    assert (float(distance[0]), float(entropy[0]), float(divergence[0, 0])) == (0, 0, 0)


def test_one_cell_at_a_distance():
    """On a row of four cells, the cell that is three, two, one cells away, or itself."""
    at_the_end = np.zeros((1, 4, 4), np.float32)
    at_the_end[:, :, 3] = 1.0
    distance, entropy, _ = ours(at_the_end, (1, 4), 14)
    np.testing.assert_allclose(distance, [14 * (3 + 2 + 1 + 0) / 4], rtol=1e-6)
    assert float(entropy[0]) == 0
    np.testing.assert_allclose(distances((2, 3), patch=4)[0, 5], 4 * 5**0.5, rtol=1e-7)


def test_heads_that_attend_elsewhere_are_infinitely_apart_and_equal_ones_not_at_all():
    p = np.zeros((3, 2, 2), np.float32)
    p[0, :, 0] = p[1, :, 0] = p[2, :, 1] = 1.0
    divergence = np.asarray(head_divergence(p))
    np.testing.assert_array_equal(divergence, [[0, 0, np.inf], [0, 0, np.inf], [np.inf, np.inf, 0]])
    even = np.full((1, 2, 2), 0.5, np.float32)
    one = np.asarray(head_divergence(np.concatenate([p[:1], even])))
    np.testing.assert_allclose(one[0, 1], np.log(2), rtol=1e-6)
    assert one[1, 0] == np.inf


def test_logits_of_one_cell_tell_apart_what_weights_in_float32_cannot():
    """−300 is no weight of float32, and still a divergence; from float64 in log space."""
    logits = np.zeros((1, 2, 1, 3), np.float32)
    logits[0, 0, 0, 0], logits[0, 1, 0, 1] = 300.0, 250.0
    divergence = np.asarray(head_divergence(Scores(logits)))[0]
    wide = np.float64(logits[0, :, 0])
    logs = wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)
    want = (np.exp(logs)[:, None] * (logs[:, None] - logs[None])).sum(-1)
    np.testing.assert_allclose(divergence, want, rtol=1e-6)
    assert np.isinf(head_divergence(softmax(logits))[0, 0, 1])


def test_two_gaussians():
    """KL of normal distributions, log(σ₂/σ₁) + (σ₁² + (μ₁ − μ₂)²)/2σ₂² − 1/2, on a fine row."""
    x, (m1, s1), (m2, s2) = np.arange(400.0), (180.0, 12.0), (210.0, 25.0)
    logits = np.stack([-((x - m) ** 2) / (2 * s**2) for m, s in ((m1, s1), (m2, s2))])
    divergence = head_divergence(Scores(np.float32(logits)[None, :, None]))[0]
    want = np.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5
    np.testing.assert_allclose(divergence[0, 1], want, rtol=1e-5)
    entropy = attention_entropy(Scores(np.float32(logits)[None, :, None]))[0]
    np.testing.assert_allclose(entropy[0], 0.5 * np.log(2 * np.pi * np.e * s1**2), rtol=1e-5)


@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("from_logits", [True, False])
def test_formulas_in_float64(class_token, from_logits):
    grid, first = (3, 4), int(class_token)
    logits = drawn(2, 3, 12 + first, 12 + first)
    p = softmax(np.float64(logits))[..., first:, first:]
    got = ours(
        Scores(logits) if from_logits else np.float32(softmax(np.float64(logits))),
        grid,
        16,
        class_token=class_token,
    )
    for x, want in zip(got, measured(p / p.sum(-1, keepdims=True), grid, 16), strict=True):
        np.testing.assert_allclose(x, want, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("from_logits", [True, False])
def test_registers_are_left_out_as_the_class_token_is(from_logits):
    """Three tokens in front, whatever they are called."""
    logits = drawn(2, 3, 15, 15)
    p = softmax(np.float64(logits))
    attention = Scores(logits) if from_logits else np.float32(p)
    cut = p[..., 3:, 3:]
    want = measured(cut / cut.sum(-1, keepdims=True), (3, 4), 16)
    for how in (dict(class_token=True, registers=2), dict(registers=3)):
        for x, y in zip(ours(attention, (3, 4), 16, **how), want, strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-6, atol=2e-6)
    with pytest.raises(ValueError, match="registers only with registers= their number"):
        attention_distance(attention, (3, 4), 16, class_token=True)


@pytest.mark.parametrize("from_logits", [True, False])
def test_rows_without_the_class_token_may_stay_as_they_are(from_logits):
    logits = drawn(2, 3, 13, 13)
    p = softmax(np.float64(logits))
    attention = Scores(logits) if from_logits else np.float32(p)
    got = ours(attention, (3, 4), 16, class_token=True, renormalize=False)
    for x, want in zip(got, measured(p[..., 1:, 1:], (3, 4), 16), strict=True):
        np.testing.assert_allclose(x, want, rtol=2e-6, atol=2e-6)
    kept = ours(attention, (3, 4), 16, class_token=True)
    assert (np.asarray(kept[0]) > got[0]).all()


def test_heads_that_are_nearly_alike_keep_their_digits():
    logits = drawn(1, 1, 49, 49) + drawn(1, 4, 49, 49, spread=1e-3, seed=1)
    logits = np.float32(logits)
    want = measured(softmax(np.float64(logits)), (7, 7), 1)[2]
    assert 7e-7 < want[want > 0].min() < 1e-5
    # A logarithm of 4 is rounded to 2e-7, and the mean over 2401 of them less.
    np.testing.assert_allclose(head_divergence(Scores(logits)), want, atol=2e-8)


def test_what_is_masked_is_left_out_and_bfloat16_measured_in_float32():
    logits = drawn(2, 3, 12, 12)
    masked = np.where(np.eye(12, k=1, dtype=bool), np.finfo(np.float32).min, logits)
    p = softmax(np.float64(np.where(masked < -1e30, -np.inf, masked)))
    with np.errstate(divide="ignore", invalid="ignore"):
        want = -np.nansum(p * np.log(p), -1).mean(-1)
    np.testing.assert_allclose(attention_entropy(Scores(masked)), want, rtol=1e-6)
    divergence = head_divergence(Scores(masked))
    assert np.isfinite(divergence).all()
    infinite = np.where(masked < -1e30, -np.inf, masked)
    np.testing.assert_allclose(head_divergence(Scores(infinite)), divergence, rtol=1e-5, atol=1e-7)
    half = jnp.asarray(logits, jnp.bfloat16)
    got = attention_entropy(Scores(half))
    assert got.dtype == jnp.float32
    exact = measured(softmax(np.asarray(half, np.float64)), (3, 4), 1)[1]
    np.testing.assert_allclose(got, exact, rtol=1e-6)


@pytest.mark.parametrize("grid", [(6, 8), (5, 7)], ids=["divides", "padded"])
@pytest.mark.parametrize("shifted", [True, False])
def test_shifted_windows_by_brute_force_over_the_map(grid, shifted):
    """Positions of the real cells on the map, pairs across boundaries left out, cell by cell."""
    cut = fit(grid, 4, shift=shifted)
    where, pairs = cells(cut), together(cut, shifted=shifted)
    pairs = np.ones((*where.shape, where.shape[1]), bool) if pairs is None else np.asarray(pairs)
    real = where >= 0
    logits = drawn(2, len(where), 3, where.shape[1], where.shape[1])
    logits = logits + np.where(pairs, 0, APART).astype(np.float32)[None, :, None]
    told = Scores(np.float32(logits), where, None if real.all() else real)
    got = ours(told, cut.size, 8)

    at, (batch, heads), count = positions(grid), (2, 3), grid[0] * grid[1]
    distance, entropy, divergence = (np.zeros((batch, heads, *more)) for more in ((), (), (heads,)))
    for b in range(batch):
        for window, query in zip(*np.nonzero(real), strict=True):
            keys = np.flatnonzero(real[window] & pairs[window, query])
            p = softmax(np.float64(logits[b, window, :, query][:, keys]))
            far = 8 * np.linalg.norm(at[where[window, query]] - at[where[window, keys]], axis=-1)
            distance[b] += p @ far / count
            entropy[b] -= (p * np.log(p)).sum(-1) / count
            divergence[b] += (p[:, None] * (np.log(p)[:, None] - np.log(p)[None])).sum(-1) / count
    for x, want in zip(got, (distance, entropy, divergence), strict=True):
        np.testing.assert_allclose(x, want, rtol=2e-6, atol=2e-6)


def test_padding_has_no_influence():
    cut = fit((5, 7), 4, shift=True)
    where = cells(cut)
    logits = drawn(1, len(where), 2, 16, 16)
    real = where >= 0
    outside = ~(real[:, None, :, None] & real[:, None, None, :])
    other = np.where(outside[None], 7.0, logits).astype(np.float32)
    for x, y in zip(
        *(ours(Scores(z, where, real), (4, 4), 4) for z in (logits, other)), strict=True
    ):
        np.testing.assert_array_equal(x, y)


def test_a_grid_of_another_size_is_refused():
    with pytest.raises(ValueError, match="5 queries attend to 5 keys; expected the 4 cells"):
        attention_distance(np.zeros((1, 5, 5), np.float32), (2, 2), 16)
