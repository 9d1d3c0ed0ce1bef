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
from m3i_jax.nn.relative import Offsets, with_offsets
from m3i_jax.nn.rotary import Rotation, rotated
from m3i_jax.nn.splash import attend_long
from m3i_jax.nn.windows import Windows, merge, partition, places
from m3i_jax.parallel import tensor
from m3i_jax.parallel.constrain import TENSOR, by_rows
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
    offsets: of the block, what queries are multiplied by, of attention in `windows`.
    """

    mask: Mask | None = None
    bias: Bias | None = None
    cells: Cells | None = None
    context: Context | None = None
    rotation: Rotation | None = None
    offsets: Offsets | None = None


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection, laid out as (q|k|v, heads, dim).

    qkv_bias may be "qv", BEiT's: a bias on a key moves all scores of a query alike. `relative`
    makes the module whose result for the cells is added to the scores, a `RelativeBias`. Each
    weight is dropped with probability `dropout`, and the others scaled to keep the mean, with keys
    from the stream "droppath". `core` is one of `attend.CORES`; weights that are dropped are kept.
    On a mesh whose axis `tensor` divides the heads a device has its share of them.
    `qk_norm` makes norms of the queries and keys of each head, in front of the rotation (Henry et
    al. 2020, https://arxiv.org/abs/2010.04245; Dehghani et al. 2023, §2, for ViTs), `norm` one of
    what `proj` reads (EVA-02). proj_bias: whether that has a bias.
    `windows` cuts the map that the tokens are, and they attend to their window, in which cells
    beyond the map are zeros in front of `qkv`, in no place; masks, biases and contexts are not for
    them. One window, the whole map, is of no cut.
    """

    heads: int
    qkv_bias: bool | str = True
    relative: Callable[..., nn.Module] | None = None
    kernel_init: Init = Init()
    report: ObserveAttention = False
    dropout: float = 0.0
    core: str = "auto"
    dtype: DTypeLike = jnp.float32
    qk_norm: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] | None = None
    proj_bias: bool = True
    windows: Windows | None = None

    @nn.compact
    def __call__(self, x: Tokens, shared: Shared) -> tuple[Tokens, Attended | Observed | None]:
        """x (B, n, D) -> (B, n, D) in `dtype`, and with `report` the weights (B, heads, q, k)."""
        seen, biases = x, () if shared.bias is None else (shared.bias,)
        if shared.context is not None:
            seen = jnp.concatenate([shared.context.astype(x.dtype), x], axis=1)
        if self.relative is not None:
            biases += (self.relative(name="relative_position")(shared.cells),)
        qkv, bias = self._project(seen)
        norms = self._norms()
        qkv = self._prepared(qkv, norms, shared.rotation)
        if self.windows is not None:
            y, weights = self._in_windows(qkv, bias, norms, shared.offsets)
        else:
            count, weights = x.shape[1], None
            if self.report or self.dropout:
                logits = scores(*self._of_heads(qkv, count)[:3], biases, shared.mask)
                weights = attended(self.report, Scores(logits))
            if self.dropout:
                y = self._used(logits, self._of_heads(qkv, count)[3])
            else:
                y = self._attended(qkv, count, biases, shared.mask)
        if self.norm is not None:
            y = self.norm(dtype=self.dtype, name="norm")(y)
        out = dict(dtype=self.dtype, split=tensor.rows(self.heads), name="proj")
        return Linear(x.shape[-1], self.proj_bias, self.kernel_init.proj, **out)(y), weights

    @property
    def _split(self) -> tensor.Split | None:
        """How queries, keys and values are shared by devices."""
        return tensor.columns(self.heads, what="heads", parts=3)

    @property
    def _ways(self) -> int:
        return self._split.ways if self._split else 1

    def _attended(self, qkv, count, biases, mask):
        """The core, computed as suits the rows and where they are; of the last `count` queries."""
        tokens, width = qkv.shape[1], qkv.shape[2] // 3
        plain = not biases and mask is None and tokens == count
        core = chosen(self.core, plain=plain, tokens=tokens, width=width, dtype=self.dtype)
        if core in KERNELS:
            own = functools.partial(KERNELS[core], self.heads // self._ways, platform() != "tpu")
            return own(qkv) if self._ways == 1 else by_rows(own, qkv, last=TENSOR)
        scale, q, k, v = self._of_heads(qkv, count)
        if core == "cudnn":
            y = jax.nn.dot_product_attention(q, k, v, scale=scale, implementation="cudnn")
            return y.reshape(*y.shape[:2], width)
        return attend(scale, core == "keep", q, k, v, biases, mask)

    def _in_windows(self, qkv, bias, norms, offsets):
        """(B, n, D) of a map in `windows`, and the weights (B, windows, heads, q, k) if reported.

        Those of one window that is the whole map are (B, heads, q, k).
        """
        batch, width, cut = qkv.shape[0], qkv.shape[2] // 3, self.windows
        x = partition(qkv.reshape(batch, *cut.grid, -1), cut, shifted=False)
        where, real = places(cut, shifted=False)
        if real is not None and bias is not None:  # what `qkv` makes of zeros
            padding = self._prepared(bias.astype(self.dtype).reshape(1, 1, -1), norms, None)
            x = jnp.where(real[None, :, :, None], x, padding[:, :, None])
        scale, q, k, v = self._of_heads(x, x.shape[2])
        if offsets is not None:
            q, k = with_offsets(scale, q, k, offsets, cut.size)
            scale = 1.0
        if self.report or self.dropout:
            logits, told = scores(scale, q, k, (), None), (where, real)
            if cut.size == cut.grid:
                told = ()
            seen = logits if told else logits[:, 0]
            weights = attended(self.report, Scores(seen, *told))
        else:
            weights = None
        if self.dropout:
            y = self._used(logits, v)
        else:
            core = chosen(self.core, plain=False, tokens=x.shape[2], width=width, dtype=self.dtype)
            y = attend(scale, core == "keep", q, k, v, (), None)
        return merge(y, cut, shifted=False).reshape(batch, -1, width), weights

    def _used(self, logits, v):
        """What the weights that are not dropped make of values, (..., n, D)."""
        used, keep = softmax(logits, self.dtype), 1.0 - self.dropout
        kept = jax.random.bernoulli(self.make_rng("droppath"), keep, used.shape)
        y = product("...hqk,...khd->...qhd", jnp.where(kept, used / keep, 0.0), v)
        return y.astype(self.dtype).reshape(*y.shape[:-2], -1)

    def _project(self, x):
        """Queries, keys and values side by side, (B, n, 3D) = (q|k|v, heads, D/heads), and the bias
        in them, (3D,) or None.

        Those of the heads of each device, where they are split over `tensor`.
        """
        width, split = x.shape[-1], self._split
        own = dict(dtype=self.dtype, split=split, name="qkv")
        qkv = Linear(3 * width, self.qkv_bias is True, self.kernel_init.qkv, **own)(x)
        if not self.qkv_bias:
            return qkv, None
        if self.qkv_bias is True:
            bias = self.variables["params"]["qkv"]["bias"]
            return qkv, bias if split is None else split.dealt(bias)
        zeros = nn.initializers.zeros
        q, v = (self.param(f"{i}_bias", zeros, (width,), jnp.float32) for i in "qv")
        bias = jnp.concatenate([q, jnp.zeros_like(q), v])
        bias = bias if split is None else split.dealt(bias)
        return (qkv.astype(jnp.float32) + bias[None, None]).astype(self.dtype), bias

    def _norms(self):
        """Those of queries and keys, () without."""
        if self.qk_norm is None:
            return ()
        return tuple(self.qk_norm(dtype=self.dtype, name=f"{i}_norm") for i in "qk")

    def _prepared(self, qkv, norms, rotation):
        """Queries and keys normalised and turned, values as they are, (B, n, 3D)."""
        if not norms and rotation is None:
            return qkv
        parts = self._parts(qkv)
        both = parts[:, :, :, :2]
        if norms:
            both = jnp.stack([norm(both[:, :, :, i]) for i, norm in enumerate(norms)], axis=3)
        if rotation is not None:
            batch, tokens, ways, _, heads, dim = both.shape
            turned = rotated(both.reshape(batch, tokens, 2 * ways, heads, dim), rotation)
            both = turned.reshape(both.shape)
        return jnp.concatenate([both, parts[:, :, :, 2:]], axis=3).reshape(qkv.shape)

    def _of_heads(self, qkv, count):
        """Scale, queries of the last `count` rows, keys and values, (..., n, heads, D/heads)."""
        parts = self._parts(qkv)
        shape = *qkv.shape[:-1], self.heads, parts.shape[-1]
        q, k, v = (parts[..., i, :, :].reshape(shape) for i in range(3))
        return shape[-1] ** -0.5, q[..., qkv.shape[-2] - count :, :, :], k, v

    def _parts(self, qkv):
        """(..., n, devices that have heads of their own, q|k|v, their heads, D/heads)."""
        width = qkv.shape[-1] // 3
        own = self._ways, 3, self.heads // self._ways, width // self.heads
        return qkv.reshape(*qkv.shape[:-1], *own)
