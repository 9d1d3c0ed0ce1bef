"""Transformer blocks, and the scan that stacks them.

A block is x + attention(norm1(x)) followed by x + mlp(norm2(x)) (pre-norm), or the norm of each
sum (post-norm). The residual stream, norms and softmax are float32; products are in `dtype`.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Int

from m3i_jax.build import ConfigError, nearest
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.linear import SAVED, Linear, einsum
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.nn.observe import attended, kept
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.types import Array, ObserveAttention, Observed, ObserveLayers, Scores

DTYPES = ("float32", "bfloat16", "float16")
SCHEDULES = ("linear", "uniform")
REMAT: dict[str, Callable | None] = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.save_only_these_names(SAVED),
}


class Init(NamedTuple):
    """Initialisers of the four kernels of a block; by default MAE's Xavier-uniform.

    shrink: divide proj and fc2 of block l, from 1, by √(2l) (docs/methods.md#beit).
    """

    qkv: Callable = nn.initializers.xavier_uniform()
    proj: Callable = nn.initializers.xavier_uniform()
    fc1: Callable = nn.initializers.xavier_uniform()
    fc2: Callable = nn.initializers.xavier_uniform()
    shrink: bool = False

    @classmethod
    def same(cls, init: Callable, *, shrink: bool = False) -> "Init":
        """One initialiser for all four."""
        return cls(init, init, init, init, shrink)

    def of_block(self, number: Int[Array, ""]) -> "Init":
        """The initialisers of the block of this number, from 1, which may be traced."""
        if not self.shrink:
            return self

        def shrunk(init):
            return lambda *arguments: init(*arguments) * jax.lax.rsqrt(2.0 * number)

        return self._replace(proj=shrunk(self.proj), fc2=shrunk(self.fc2))


# What an encoder is initialised as: MAE; BEiT, a normal cut off at one deviation; VQ-KD, the same
# whole; DeiT, whole and all blocks alike.
INITS = {
    "mae": Init(),
    "beit": Init.same(nn.initializers.truncated_normal(0.02, lower=-1.0, upper=1.0), shrink=True),
    "vq_kd": Init.same(nn.initializers.normal(0.02), shrink=True),
    "deit": Init.same(nn.initializers.normal(0.02)),
}


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
# Of every block, where they are asked for: tokens, and the weights of attention.
Reports = tuple[
    Float[Array, "depth batch tokens dim"] | Observed | None,
    Float[Array, "depth batch heads queries keys"] | Observed | None,
]


class Shared(NamedTuple):
    """What every block of a stack is given beside its tokens; q and k count queries and keys.

    mask: bool, broadcastable to (B, heads, q, k), True = attend.
    bias: float32, broadcastable to the same, added to the scores.
    cells: (B, n) int32, where the tokens are on the grid, for a block's own `relative` bias.
    context: (B, c, D) float32, keys and values in front of the tokens; no block changes them.
    """

    mask: Mask | None = None
    bias: Bias | None = None
    cells: Cells | None = None
    context: Context | None = None


class Attention(nn.Module):
    """Multi-head self-attention with one fused projection, laid out as (q|k|v, heads, dim).

    qkv_bias may be "qv", BEiT's: a bias on a key moves all scores of a query alike. `relative`
    makes the module whose result for the cells is added to the scores, a `RelativeBias`. Each
    weight is dropped with probability `dropout`, and the others scaled to keep the mean, with keys
    from the stream "droppath".
    """

    heads: int
    qkv_bias: bool | str = True
    relative: Callable[..., nn.Module] | None = None
    kernel_init: Init = Init()
    report: ObserveAttention = False
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Tokens, shared: Shared) -> tuple[Tokens, Attended | Observed | None]:
        """x (B, n, D) -> (B, n, D) in `dtype`, and with `report` the weights (B, heads, q, k)."""
        batch, count, width = x.shape
        seen = x
        if shared.context is not None:
            seen = jnp.concatenate([shared.context.astype(x.dtype), x], axis=1)
        q, k, v = self._project(seen)
        q = q[:, :, seen.shape[1] - count :]
        scores = einsum("bhqd,bhkd->bhqk", q, k) * (width // self.heads) ** -0.5
        if shared.bias is not None:
            scores = scores + shared.bias
        if self.relative is not None:
            scores = scores + self.relative(name="relative_position")(shared.cells)
        if shared.mask is not None:
            # Finite, so that a row with nothing to attend to (an empty text) is not NaN.
            scores = jnp.where(shared.mask, scores, jnp.finfo(jnp.float32).min)
        weights = attended(self.report, Scores(scores))
        used = softmax(scores, self.dtype)
        if self.dropout:
            keep = 1.0 - self.dropout
            kept = jax.random.bernoulli(self.make_rng("droppath"), keep, used.shape)
            used = jnp.where(kept, used / keep, 0.0)
        y = einsum("bhqk,bhkd->bhqd", used, v).astype(self.dtype)
        y = y.transpose(0, 2, 1, 3).reshape(batch, count, width)
        y = Linear(width, True, self.kernel_init.proj, self.dtype, name="proj")(y)
        return y, weights

    def _project(self, x):
        """Queries, keys and values, (3, B, heads, n, D/heads)."""
        batch, count, width = x.shape
        fused = self.qkv_bias is True
        qkv = Linear(3 * width, fused, self.kernel_init.qkv, self.dtype, name="qkv")(x)
        if self.qkv_bias == "qv":
            zeros = nn.initializers.zeros
            q, v = (self.param(f"{i}_bias", zeros, (width,), jnp.float32) for i in "qv")
            bias = jnp.concatenate([q, jnp.zeros_like(q), v])
            qkv = (qkv.astype(jnp.float32) + bias[None, None]).astype(self.dtype)
        qkv = qkv.reshape(batch, count, 3, self.heads, width // self.heads)
        return qkv.transpose(2, 0, 3, 1, 4)


class Mlp(nn.Module):
    """fc2(activation(fc1(x))) with a hidden layer of `ratio` times the width."""

    ratio: float = 4.0
    activation: Callable = gelu
    kernel_init: Init = Init()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) -> (..., D) in `dtype`."""
        hidden = round(self.ratio * x.shape[-1])
        y = Linear(hidden, True, self.kernel_init.fc1, self.dtype, name="fc1")(x)
        y = self.activation(y)
        return Linear(x.shape[-1], True, self.kernel_init.fc2, self.dtype, name="fc2")(y)


class DropPath(nn.Module):
    """Drops the residual branch of whole samples with probability `rate`, scaled to keep the mean.

    y_i = b_i x_i / (1 - rate), b_i ~ Bernoulli(1 - rate), from the stream "droppath". Stochastic
    depth, Huang et al. 2016, https://arxiv.org/abs/1603.09382.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, " batch *rest"], rate: Float[Array, ""]
    ) -> Float[Array, " batch *rest"]:
        """x (B, ...), rate a scalar in [0, 1) that may be traced."""
        keep = 1.0 - rate
        shape = x.shape[:1] + (1,) * (x.ndim - 1)
        kept = jax.random.bernoulli(self.make_rng("droppath"), keep, shape)
        return jnp.where(kept, x / keep, 0.0)


class LayerScale(nn.Module):
    """gamma * x per channel, gamma starting at `value` (CaiT)."""

    value: float

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) float32 -> the same."""
        start = nn.initializers.constant(self.value)
        gamma = self.param("gamma", start, x.shape[-1:], jnp.float32)
        return x * gamma.reshape((1,) * (x.ndim - 1) + gamma.shape)


class TransformerBlock(nn.Module):
    """One block; `norm` and `activation` are functions, `layer_scale` None = none."""

    heads: int
    mlp_ratio: float = 4.0
    qkv_bias: bool | str = True
    relative: Callable[..., nn.Module] | None = None
    layer_scale: float | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    post_norm: bool = False
    activation: Callable = gelu
    kernel_init: Init = Init()
    attention_dropout: float = 0.0
    dtype: DTypeLike = jnp.float32
    drop: bool = False
    keep_layers: ObserveLayers = False
    keep_attention: ObserveAttention = False

    @nn.compact
    def __call__(
        self,
        x: Tokens,
        rate: Float[Array, ""],
        number: Int[Array, ""],
        shared: Shared,
    ) -> tuple[Tokens, tuple]:
        """x (B, n, D) float32, drop-path rate, number from 1 -> x and (x, weights) if kept."""
        x, init = batch_sharded(x), self.kernel_init.of_block(number)
        attention = Attention(
            self.heads,
            self.qkv_bias,
            self.relative,
            init,
            self.keep_attention,
            self.attention_dropout,
            self.dtype,
            name="attn",
        )
        mlp = Mlp(self.mlp_ratio, self.activation, init, self.dtype, name="mlp")
        out_dtype = jnp.float32 if self.post_norm else self.dtype
        norm1 = self.norm(dtype=out_dtype, name="norm1")
        norm2 = self.norm(dtype=out_dtype, name="norm2")
        if self.post_norm:
            y, weights = attention(x, shared)
            x = norm1(x + self._branch(y, rate, 1))
            x = norm2(x + self._branch(mlp(x), rate, 2))
        else:
            y, weights = attention(norm1(x), shared)
            x = x + self._branch(y, rate, 1)
            x = x + self._branch(mlp(norm2(x)), rate, 2)
        return x, (kept(self.keep_layers, x), weights)

    def _branch(self, y: Array, rate: Array, number: int) -> Array:
        """The branch `y` as it is added to the float32 residual stream."""
        y = y.astype(jnp.float32)
        if self.layer_scale is not None:
            y = LayerScale(self.layer_scale, name=f"ls{number}")(y)
        return DropPath(name=f"drop_path{number}")(y, rate) if self.drop else y


def stack(
    x: Tokens,
    *,
    depth: int,
    mask: Mask | None = None,
    bias: Bias | None = None,
    cells: Cells | None = None,
    context: Context | None = None,
    drop_path: float = 0.0,
    schedule: str = "linear",
    attention_dropout: float = 0.0,
    train: bool = False,
    scan: bool = True,
    remat: str = "none",
    name: str = "blocks",
    **block: Any,
) -> tuple[Tokens, Reports]:
    """`depth` blocks applied to x (B, n, D), inside a compact method of the calling module.

    Parameters are stacked: every leaf below `name` has a leading depth axis, whatever `scan` and
    `remat` say, so these change speed and memory and nothing else.

    Args:
      x: tokens.
      depth: number of blocks.
      mask, bias, cells, context: what the tokens attend to, see `Shared`.
      drop_path: the highest drop-path rate, reached by the last block.
      schedule: "linear" from 0 over the blocks, or "uniform".
      attention_dropout: share of the attention weights that are dropped.
      train: whether branches and weights are dropped.
      scan: compile one block and loop over it; otherwise unroll the loop.
      remat: what the backward pass recomputes: "none"; "dots", all but the linear layers;
        "full", everything but the inputs of the blocks.
      name: of the stacked parameters.
      **block: fields of `TransformerBlock`.

    Returns:
      x and (layers (depth, B, n, D), attention (depth, B, heads, q, k)), None unless kept; what
      functions that are handed in as `keep_layers`, `keep_attention` make of each, (depth, ...).
    """
    body = TransformerBlock
    if REMAT[remat] is not None:
        # Inside a scan nothing can be merged across the loop; unrolled, XLA must be kept from it.
        body = nn.remat(body, policy=REMAT[remat], prevent_cse=not scan)
    scanned = nn.scan(
        body,
        variable_axes={"params": 0},
        split_rngs={"params": True, "droppath": True},
        in_axes=(0, 0, nn.broadcast),
        length=depth,
        unroll=1 if scan else depth,
    )
    rates = drop_rates(drop_path, schedule, depth)
    block["attention_dropout"] = attention_dropout if train else 0.0
    blocks = scanned(**block, drop=train and drop_path > 0, name=name)
    numbers, shared = jnp.arange(1, depth + 1), Shared(mask, bias, cells, context)
    return blocks(x.astype(jnp.float32), rates, numbers, shared)


def drop_rates(rate: float, schedule: str, depth: int) -> Float[Array, " depth"]:
    """Drop-path rates (depth,) float32: "linear" from 0 to `rate`, or "uniform"."""
    return jnp.linspace(0.0 if schedule == "linear" else rate, rate, depth, dtype=jnp.float32)


def check_blocks(
    what: str,
    *,
    width: int,
    heads: int,
    depth: int,
    dtype: str,
    remat: str,
    drop_path: float = 0.0,
    schedule: str = "linear",
    qkv_bias: bool | str = True,
    attention_dropout: float = 0.0,
    mlp_ratio: float = 4.0,
) -> None:
    """Refuses sizes and options that no stack of blocks can have; `what` names the block."""
    if heads < 1 or width % heads:
        raise ConfigError(f"{what}: width {width} is not divisible by {heads} heads")
    if depth < 1:
        raise ConfigError(f"{what}: depth is {depth}, expected at least 1")
    if round(mlp_ratio * width) < 1:
        raise ConfigError(
            f"{what}: mlp_ratio {mlp_ratio:g} leaves no hidden layer at width {width}"
        )
    if not 0.0 <= drop_path < 1.0:
        raise ConfigError(f"{what}: drop_path is {drop_path}, expected a rate in [0, 1)")
    if not 0.0 <= attention_dropout < 1.0:
        raise ConfigError(
            f"{what}: attention_dropout is {attention_dropout}, expected a rate in [0, 1)"
        )
    if isinstance(qkv_bias, str):
        check_choice(what, "qkv_bias", qkv_bias, ("qv",))
    check_choice(what, "dtype", dtype, DTYPES)
    check_choice(what, "remat", remat, REMAT)
    check_choice(what, "drop_path_schedule", schedule, SCHEDULES)


def check_choice(what: str, key: str, value: str, choices: Iterable[str]) -> None:
    """Refuses a `value` of `key` that is not among the `choices`."""
    if value not in choices:
        raise ConfigError(f"{what} has no {key} '{value}'{nearest(str(value), choices)}")
