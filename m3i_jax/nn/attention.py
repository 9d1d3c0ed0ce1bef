"""Multi-head self-attention, and what all blocks of a stack attend to beside their tokens."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int

from m3i_jax.nn.attend import attend, chosen, platform, product, scores
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.observe import attended
from m3i_jax.nn.packed import attend_packed
from m3i_jax.nn.rotary import Rotation, rotated
from m3i_jax.nn.splash import attend_long
from m3i_jax.types import Array, ObserveAttention, Observed, Scores


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def softmax(scores: Float[Array, "*rows keys"], dtype: DTypeLike) -> Float[Array, "*rows keys"]:
    """Softmax of float32 scores over the last axis, rounded to `dtype`.

    Only the rounded result is kept for the backward pass, ds = p (g - Σ g p) in float32.
    """
    return jax.nn.softmax(scores, axis=-1).astype(dtype)


def _softmax_forward(scores, dtype):
    p = softmax(scores, dtype)
    return p, p


def _softmax_backward(dtype, p, g):
    p, g = p.astype(jnp.float32), g.astype(jnp.float32)
    return (p * (g - (g * p).sum(-1, keepdims=True)),)


softmax.defvjp(_softmax_forward, _softmax_backward)


Tokens = Float[Array, "batch tokens dim"]
Mask = Bool[Array, "#batch #heads #queries keys"]
Bias = Float[Array, "#batch #heads queries keys"]
Cells = Int[Array, "batch tokens"]
Context = Float[Array, "batch more dim"]
Attended = Float[Array, "batch heads queries keys"]
# Of TPUs: functions of heads, whether to interpret them (elsewhere), and (q|k|v) as projected.
KERNELS = {"pallas": attend_packed, "splash": attend_long}


class Shared(NamedTuple):
    """What every block of a stack is given beside its tokens; q and k count queries and keys.

    mask: bool, broadcastable to (B, heads, q, k), True = attend.
    bias: float32, broadcastable to the same, added to the scores.
    cells: (B, n) int32, where the tokens are on the grid, for a block's own `relative` bias.
    context: (B, c, D) float32, keys and values in front of the tokens; no block changes them.
    rotation: by which queries and keys of the tokens are turned, where there is no context.
    """

    mask: Mask | None = None
    bias: Bias | None = None
    cells: Cells | None = None
    context: Context | None = None
    rotation: Rotation | None = None


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection, laid out as (q|k|v, heads, dim).

    qkv_bias may be "qv", BEiT's: a bias on a key moves all scores of a query alike. `relative`
    makes the module whose result for the cells is added to the scores, a `RelativeBias`. Each
    weight is dropped with probability `dropout`, and the others scaled to keep the mean, with keys
    from the stream "droppath". `core` is one of `attend.CORES`; weights that are dropped are kept.
    """

    heads: int
    qkv_bias: bool | str = True
    relative: Callable[..., nn.Module] | None = None
    kernel_init: Init = Init()
    report: ObserveAttention = False
    dropout: float = 0.0
    core: str = "auto"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Tokens, shared: Shared) -> tuple[Tokens, Attended | Observed | None]:
        """x (B, n, D) -> (B, n, D) in `dtype`, and with `report` the weights (B, heads, q, k)."""
        seen, biases = x, () if shared.bias is None else (shared.bias,)
        if shared.context is not None:
            seen = jnp.concatenate([shared.context.astype(x.dtype), x], axis=1)
        if self.relative is not None:
            biases += (self.relative(name="relative_position")(shared.cells),)
        qkv, weights = self._project(seen), None
        if shared.rotation is not None:
            qkv = self._turned(qkv, shared.rotation)
        if self.report or self.dropout:
            logits = scores(*self._of_heads(qkv, x.shape[1])[:3], biases, shared.mask)
            weights = attended(self.report, Scores(logits))
        if self.dropout:
            v = self._of_heads(qkv, x.shape[1])[3]
            y = product("...hqk,...khd->...qhd", self._dropped(logits), v)
            y = y.astype(self.dtype).reshape(x.shape)
        else:
            y = self._attended(qkv, x.shape[1], biases, shared.mask)
        y = Linear(x.shape[-1], True, self.kernel_init.proj, self.dtype, name="proj")(y)
        return y, weights

    def _attended(self, qkv, count, biases, mask):
        """The core, computed as suits the rows and where they are; of the last `count` queries."""
        tokens, width = qkv.shape[1], qkv.shape[2] // 3
        plain = not biases and mask is None and tokens == count
        core = chosen(self.core, plain=plain, tokens=tokens, width=width, dtype=self.dtype)
        if core in KERNELS:
            return KERNELS[core](self.heads, platform() != "tpu", qkv)
        scale, q, k, v = self._of_heads(qkv, count)
        if core == "cudnn":
            y = jax.nn.dot_product_attention(q, k, v, scale=scale, implementation="cudnn")
            return y.reshape(*y.shape[:2], width)
        return attend(scale, core == "keep", q, k, v, biases, mask)

    def _dropped(self, logits):
        """The weights in use."""
        used, keep = softmax(logits, self.dtype), 1.0 - self.dropout
        kept = jax.random.bernoulli(self.make_rng("droppath"), keep, used.shape)
        return jnp.where(kept, used / keep, 0.0)

    def _project(self, x):
        """Queries, keys and values side by side, (B, n, 3D) = (q|k|v, heads, D/heads)."""
        width = x.shape[-1]
        fused = self.qkv_bias is True
        qkv = Linear(3 * width, fused, self.kernel_init.qkv, self.dtype, name="qkv")(x)
        if self.qkv_bias == "qv":
            zeros = nn.initializers.zeros
            q, v = (self.param(f"{i}_bias", zeros, (width,), jnp.float32) for i in "qv")
            bias = jnp.concatenate([q, jnp.zeros_like(q), v])
            qkv = (qkv.astype(jnp.float32) + bias[None, None]).astype(self.dtype)
        return qkv

    def _turned(self, qkv, rotation):
        """Queries and keys turned, values as they are, (B, n, 3D)."""
        dim = qkv.shape[-1] // 3 // self.heads
        parts = qkv.reshape(*qkv.shape[:2], 3, self.heads, dim)
        turned = [rotated(parts[:, :, :2], rotation), parts[:, :, 2:]]
        return jnp.concatenate(turned, axis=2).reshape(qkv.shape)

    def _of_heads(self, qkv, count):
        """Scale, queries of the last `count` rows, keys and values, (B, n, heads, D/heads)."""
        dim = qkv.shape[-1] // 3 // self.heads
        qkv = qkv.reshape(*qkv.shape[:2], 3, self.heads, dim)
        return dim**-0.5, qkv[:, qkv.shape[1] - count :, 0], qkv[:, :, 1], qkv[:, :, 2]
