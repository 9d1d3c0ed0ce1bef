"""The core of attention as one operation, softmax(s q kᵀ + biases) v, its gradient by hand.

Its dearest arrays are the scores and the weights, heads · tokens of them for every token. A
backward pass that JAX derives keeps the weights; here they may be computed again from q and k, with
the maximum and the sum of every row, as Flash Attention does (Dao et al. 2022, §3.1,
https://arxiv.org/abs/2205.14135): for one more product a block keeps much less.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax.build import ConfigError
from m3i_jax.nn import packed
from m3i_jax.types import Array

# What computes the core. keep, recompute: by XLA, its weights kept for the backward pass or made
# again. pallas: `packed`'s kernel, on TPUs, for short rows. splash: the library's, there, for long
# ones. cudnn: NVIDIA's, on GPUs, in 16 bits. Each where it can: no kernel knows biases or masks.
CORES = ("auto", "keep", "recompute", "pallas", "splash", "cudnn")

Heads = Float[Array, "*rows tokens heads dim"]
Logits = Float[Array, "*rows heads queries keys"]
Mask = Bool[Array, "*rows #heads #queries keys"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def attend(
    scale: float,
    keep: bool,
    q: Heads,
    k: Heads,
    v: Float[Array, "*rows tokens heads _dim"],
    biases: tuple[Logits, ...],
    mask: Mask | None,
) -> Float[Array, "*rows tokens _out"]:
    """softmax(scale · q kᵀ + Σ biases) v, the heads side by side: (..., q, heads · d).

    Products are in the dtype of q, k and v and accumulate in float32, in which the softmax is.

    Args:
      scale: of the scores.
      keep: whether the weights are kept for the backward pass, or computed again.
      q, k, v: (..., n, heads, d); more keys than queries are allowed, and values of another width.
      biases: added to the scores, each with the same number of axes, of length 1 where it is the
        same for all.
      mask: True = attend; of the same number of axes. A query that may attend to nothing attends
        to all alike.
    """
    return _forward(scale, keep, q, k, v, biases, mask)[0]


def scores(
    scale: float, q: Heads, k: Heads, biases: tuple[Logits, ...], mask: Mask | None
) -> Logits:
    """What the softmax is of, (..., heads, q, k) float32; finfo.min where `mask` is False."""
    return _scores(scale, _heads_first(q), _heads_first(k), biases, mask)


def _scores(scale, q, k, biases, mask):
    s = product("...qd,...kd->...qk", q, k) * scale
    for bias in biases:
        s = s + bias
    # Finite, so that a row with nothing to attend to (an empty text) is not NaN.
    return s if mask is None else jnp.where(mask, s, jnp.finfo(s.dtype).min)


def _heads_first(x):
    """(..., n, heads, d) as (..., heads, n, d), or back.

    In this order products give the rows that others read. Left to choose, XLA:CPU makes columns of
    them, which costs it a third of the core (docs/benchmarks.md).
    """
    return jnp.moveaxis(x, -2, -3)


def product(spec: str, x: Float[Array, "*one"], y: Float[Array, "*other"]) -> Float[Array, "*out"]:
    """An einsum that accumulates in float32, or wider."""
    return jnp.einsum(spec, x, y, preferred_element_type=jnp.promote_types(x.dtype, jnp.float32))


class _Shapes(NamedTuple):
    """Shapes of the biases: all that the gradient has to know of them where scores are kept."""

    shapes: tuple[tuple[int, ...], ...]


jax.tree_util.register_static(_Shapes)


def _forward(scale, keep, q, k, v, biases, mask):
    q, k, v = map(_heads_first, (q, k, v))
    s = _scores(scale, q, k, biases, mask)
    highest = s.max(-1, keepdims=True)
    weights = jnp.exp(s - highest)
    total = weights.sum(-1, keepdims=True)
    weights = weights / total
    y = _heads_first(product("...qk,...kd->...qd", weights.astype(v.dtype), v).astype(v.dtype))
    y = y.reshape(*y.shape[:-2], y.shape[-2] * y.shape[-1])  # -1 is refused where no row asks
    shapes = _Shapes(tuple(bias.shape for bias in biases))
    rest = weights.astype(v.dtype) if keep else (highest, total, biases)
    return y, (q, k, v, mask, shapes, rest)


def _backward(scale, keep, saved, g):
    q, k, v, mask, (shapes,), rest = saved
    if keep:
        weights = rest.astype(jnp.promote_types(v.dtype, jnp.float32))
    else:
        highest, total, biases = rest
        weights = jnp.exp(_scores(scale, q, k, biases, mask) - highest) / total
    heads, width = v.shape[-3], v.shape[-1]
    g = _heads_first(g.reshape(*g.shape[:-1], heads, width)).astype(v.dtype)
    dv = product("...qk,...qd->...kd", weights.astype(v.dtype), g).astype(v.dtype)
    dp = product("...qd,...kd->...qk", g, v)
    # Σ_k p_k dp_k is g · y, too; but the difference is small, so both sides are to round alike.
    ds = weights * (dp - (weights * dp).sum(-1, keepdims=True))
    ds = ds if mask is None else jnp.where(mask, ds, 0.0)
    dbiases = tuple(_summed(ds, shape) for shape in shapes)
    ds = (ds * scale).astype(q.dtype)
    dq = product("...qk,...kd->...qd", ds, k).astype(q.dtype)
    dk = product("...qk,...qd->...kd", ds, q).astype(k.dtype)
    return *map(_heads_first, (dq, dk, dv)), dbiases, None


attend.defvjp(_forward, _backward)


def _summed(ds: Logits, shape: tuple[int, ...]) -> Logits:
    """The gradient of what was broadcast from `shape` to the scores."""
    axes = tuple(
        i for i, (one, all_) in enumerate(zip(shape, ds.shape, strict=True)) if one != all_
    )
    return ds.sum(axes, keepdims=True)


def platform() -> str:
    """Where the traced program will run: what the mesh says, or the default backend."""
    mesh = jax.sharding.get_abstract_mesh()
    kind = None if mesh.empty or not mesh.abstract_device else mesh.abstract_device.device_kind
    if kind is None:
        return jax.default_backend()
    return "tpu" if kind.startswith("TPU") else "cpu" if kind == "cpu" else "gpu"


def chosen(core: str, *, plain: bool, tokens: int, width: int, dtype: DTypeLike) -> str:
    """Which of `CORES` other than "auto" computes such rows.

    plain: whether it is self-attention without biases, masks and context.
    """
    where, whole = platform(), packed.fits(tokens, width, dtype)
    if core == "auto":  # CPUs: products are dear, and memory is not
        best = {"cpu": "keep", "tpu": "pallas" if whole else "splash"}
        core = best.get(where, "recompute")
    elsewhere = {"pallas": ("gpu",), "splash": ("gpu",), "cudnn": ("cpu", "tpu")}
    if where in elsewhere.get(core, ()):
        raise ConfigError(
            f"attention '{core}' does not run on a {where.upper()}; "
            "take 'auto', or 'recompute', which runs on all"
        )
    kernel = {
        "pallas": plain and whole,
        "splash": plain,
        "cudnn": plain and jnp.dtype(dtype).itemsize == 2,
    }
    return core if kernel.get(core, True) else "recompute"
