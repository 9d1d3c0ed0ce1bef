"""What heads of attention look at: how far away, how broadly, and how differently from each other.

Xie et al. 2023, "Revealing the Dark Secrets of Masked Image Modeling", Figures 1 to 3,
https://arxiv.org/abs/2205.13543. Every function takes the weights (..., heads, q, k) that a softmax
has made, or `Scores`, what an encoder's observer is told in front of it: the same in exact
arithmetic, but a weight too small for float32 is 0 and has no logarithm, its logit has.

    model.encode(..., attention=lambda scores: attention_entropy(scores, class_token=True))

Conventions, and where others have other ones: docs/analysis.md#attention.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32

from m3i_jax.types import Array, Grid, Scores

LEAST = 0.5 * float(np.finfo(np.float32).min)  # what is below is masked, and no logarithm
NEVER, ENDLESS = -1e37, 1e6  # stands for log 0, so that any weight on it gives more than ENDLESS

Attention = Float[Array, "*leading heads queries keys"] | Scores
Heads = Float[Array, "*leading heads"]
Pairs = Float[Array, "*leading heads heads"]


class Attended(NamedTuple):
    """Weights of attention among the cells of images, or of their windows, and their logarithms.

    logs: −∞, or below `LEAST`, where nothing is attended to.
    windowed: whether there is an axis of windows in front of that of the heads.
    real: (windows, q), the queries that are no padding; None = all.
    """

    weights: Float[Array, "*leading heads queries keys"]
    logs: Float[Array, "*leading heads queries keys"]
    windowed: bool = False
    real: Bool[Array, "windows queries"] | None = None


def attention_distance(
    attention: Attention,
    grid: Grid,
    patch: int,
    *,
    class_token: bool = False,
    registers: int = 0,
    renormalize: bool = True,
) -> Heads:
    """How far from a cell lies what it attends to, in pixels, the mean over all cells.

        d_h = mean_q Σ_k A_hqk P ‖pos_q − pos_k‖₂

    Args:
      attention: weights (..., heads, q, k), or `Scores`, of windows too: positions are those
        inside a window, as cells of two pieces that a shift brought together hardly meet.
      grid: (rows, columns) of cells, of an image or of a window.
      patch: P, side of a cell in pixels.
      class_token: the first token is none of the cells: it is left out, as a query and as a key.
      registers: so many tokens behind it are none either, and are left out, too.
      renormalize: the rest of each row is scaled to sum to 1; otherwise it stays as it is.

    Returns:
      (..., heads) float32; of `Scores` (B, heads).

    Raises:
      ValueError: there are not as many queries and keys as cells.
    """
    x = attended(attention, first=int(class_token) + registers, renormalize=renormalize)
    cells = grid[0] * grid[1]
    if x.weights.shape[-2:] != (cells, cells):
        queries, keys = x.weights.shape[-2:]
        raise ValueError(
            f"{queries} queries attend to {keys} keys; expected the {cells} cells of a grid of "
            f"{grid[0]}x{grid[1]}, a class token only with class_token=True, and registers only "
            "with registers= their number"
        )
    far = distances(grid, patch=patch).reshape((1,) * (x.weights.ndim - 2) + (cells, cells))
    return _mean((x.weights * far).sum(-1), x)


def attention_entropy(
    attention: Attention,
    *,
    class_token: bool = False,
    registers: int = 0,
    renormalize: bool = True,
) -> Heads:
    """How broadly a cell attends, in nats, the mean over all cells: from 0 to log of the keys.

        H_h = mean_q −Σ_k A_hqk log A_hqk,   0 log 0 = 0

    Arguments and result are those of `attention_distance`.
    """
    x = attended(attention, first=int(class_token) + registers, renormalize=renormalize)
    return _mean(-_times_log(x.weights, x.logs).sum(-1), x)


def head_divergence(
    attention: Attention,
    *,
    class_token: bool = False,
    registers: int = 0,
    renormalize: bool = True,
) -> Pairs:
    """How differently two heads attend, in nats, the mean over all cells; 0 on the diagonal.

        D_hg = mean_q Σ_k A_hqk (log A_hqk − log A_gqk)

    No epsilon is added: where g attends to nothing of what h does, the divergence is infinite.
    Without `renormalize` rows do not sum to 1, and D may be negative. Arguments are those of
    `attention_distance`.

    Returns:
      (..., heads, heads) float32, row h and column g; of `Scores` (B, heads, heads).
    """
    x = attended(attention, first=int(class_token) + registers, renormalize=renormalize)
    known = x.logs > LEAST
    logs = jnp.where(known, x.logs, 0.0)
    # Of all heads the same is taken off, which changes no difference: heads that are nearly alike
    # have small logarithms left, and lose no digits.
    cross = _pairs(x, jnp.where(known, logs - logs.mean(-3, keepdims=True), NEVER))
    apart = jnp.diagonal(cross, axis1=-2, axis2=-1)[..., None] - cross
    return jnp.where(apart > ENDLESS, jnp.inf, apart)


def attended(attention: Attention, *, first: int, renormalize: bool) -> Attended:
    """The weights among cells and their logarithms, without the `first` tokens and padding."""
    if not isinstance(attention, Scores):
        weights = jnp.asarray(attention, jnp.float32)[..., first:, first:]
        if first and renormalize:
            weights = weights / weights.sum(-1, keepdims=True)
        return Attended(weights, jnp.log(weights))
    logits = jnp.asarray(attention.logits, jnp.float32)[..., first:, :]
    if attention.real is not None:
        logits = jnp.where(attention.real[None, :, None, None, :], logits, -jnp.inf)
    if renormalize:
        logs = jax.nn.log_softmax(logits[..., first:], axis=-1)
    else:
        logs = jax.nn.log_softmax(logits, axis=-1)[..., first:]
    return Attended(jnp.exp(logs), logs, logits.ndim == 5, attention.real)


def distances(grid: Grid, *, patch: float = 1.0) -> Float32[np.ndarray, "cells cells"]:
    """P ‖pos_q − pos_k‖₂ between the cells of a grid, row-major, (n, n) float32."""
    rows, columns = (axis.reshape(-1) for axis in np.indices(grid))
    offsets = (axis[:, None] - axis[None, :] for axis in (rows, columns))
    return np.float32(patch * np.hypot(*offsets))


def _times_log(weights, logs):
    """A log A, 0 where there is no weight; what is not a number stays so."""
    return jnp.where(weights == 0, 0.0, weights * logs)


def _mean(values: Float[Array, "*leading heads queries"], x: Attended) -> Heads:
    """The mean over all queries that count, and over the windows of an image."""
    if not x.windowed:
        return values.mean(-1)
    if x.real is None:
        return values.mean((-3, -1))
    real = x.real[None, :, None, :]
    return jnp.where(real, values, 0.0).sum((-3, -1)) / real.sum()


def _pairs(x: Attended, of: Float[Array, "*leading heads queries keys"]) -> Pairs:
    """The mean over queries of Σ_k A_hqk of_gqk, for all h and g."""
    weights, queries = x.weights, x.weights.shape[-2]
    if x.windowed:
        queries *= weights.shape[-4]
        if x.real is not None:
            weights = jnp.where(x.real[None, :, None, :, None], weights, 0.0)
            queries = x.real.sum()
        weights, of = (jnp.swapaxes(y, -4, -3) for y in (weights, of))
    split = -3 if not x.windowed else -4
    weights, of = (y.reshape(*y.shape[: split + 1], -1) for y in (weights, of))
    # Of float32 products, whatever the accelerator takes for them by default.
    total = jnp.einsum("...hx,...gx->...hg", weights, of, precision=jax.lax.Precision.HIGHEST)
    return total / queries
