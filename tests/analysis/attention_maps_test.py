"""Maps of chosen queries against weights placed on the map cell by cell; rollout in float64."""

import jax
import numpy as np
import pytest

from m3i_jax.analysis.attention_maps import CLASS, cell_of, head_mean, query_maps, rollout
from m3i_jax.nn.windows import cells, fit
from m3i_jax.types import Scores


def softmax(logits):
    p = np.exp(np.float64(logits))
    return p / p.sum(-1, keepdims=True)


def drawn(*shape):
    return np.float32(np.random.default_rng(0).normal(size=shape))


def test_cells_lie_where_shares_say():
    assert [cell_of(at, (4, 8)) for at in ((0, 0), (0.5, 0.5), (1, 1), (0.99, 0.1))] == [
        0,
        20,
        31,
        24,
    ]
    assert cell_of(CLASS, (4, 8)) is None


@pytest.mark.parametrize(("class_token", "registers"), [(True, 0), (False, 0), (True, 2)])
def test_rows_of_the_weights_are_maps(class_token, registers):
    first, front = int(class_token) + registers, dict(class_token=class_token, registers=registers)
    logits = drawn(2, 3, 12 + first, 12 + first)
    queries = [CLASS] * class_token + [(0.4, 0.8)]
    look = lambda x: query_maps(Scores(x), queries, (3, 4), **front)  # noqa: E731
    maps = jax.jit(look)(logits)
    assert maps.shape == (2, 3, len(queries), 3, 4)
    p = softmax(logits)[..., first:]
    wanted = [p[:, :, 0]] * class_token + [p[:, :, first + 1 * 4 + 3]]
    np.testing.assert_allclose(maps, np.stack(wanted, 2).reshape(maps.shape), rtol=1e-5)


@pytest.mark.parametrize("shift", [True, False])
def test_windows_are_put_where_they_were_cut(shift):
    """A map of 5×7 cells in padded windows of 4: key by key, and 0 outside of the window."""
    cut = fit((5, 7), 4, shift=shift)
    where = cells(cut)
    logits = drawn(2, len(where), 3, 16, 16)
    at, p = (0.9, 0.2), softmax(logits)
    maps = jax.jit(lambda x: query_maps(Scores(x, where, where >= 0), [at], (5, 7)))(logits)
    ((window, query),) = np.argwhere(where == 4 * 7 + 1)
    wanted = np.zeros((2, 3, 35))
    for key, cell in enumerate(where[window]):
        if cell >= 0:
            wanted[..., cell] = p[:, window, :, query, key]
    np.testing.assert_allclose(maps[:, :, 0], wanted.reshape(2, 3, 5, 7), rtol=1e-5)


@pytest.mark.parametrize(
    ("class_token", "registers"), [(True, 0), (False, 0), (True, 2), (False, 2)]
)
def test_rollout_in_float64(class_token, registers):
    logits = drawn(3, 2, 4, 7, 7)
    attention = np.stack([head_mean(Scores(block)) for block in logits])
    p = softmax(logits).mean(2)
    np.testing.assert_allclose(attention, p, rtol=1e-5)
    product = np.eye(7)[None].repeat(2, 0)
    for block in p:
        product = 0.5 * (block + np.eye(7)) @ product
    first, front = int(class_token) + registers, dict(class_token=class_token, registers=registers)
    row = product[:, 0, first:] if class_token else product[:, first:, first:].mean(1)
    got = jax.jit(lambda a: rollout(a, **front))(attention)
    np.testing.assert_allclose(got, row / row.sum(-1, keepdims=True), rtol=1e-5)


def test_rollout_of_even_attention_and_of_none():
    """Attention to itself alone leaves each token what it was; even attention makes all alike."""
    eye = np.broadcast_to(np.eye(4, dtype=np.float32), (5, 1, 4, 4))
    np.testing.assert_allclose(rollout(eye), np.full((1, 4), 0.25))
    even = np.full((60, 1, 4, 4), 0.25, np.float32)
    np.testing.assert_allclose(rollout(even, class_token=True), np.full((1, 3), 1 / 3), rtol=1e-6)
