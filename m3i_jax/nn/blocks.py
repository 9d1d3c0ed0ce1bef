"""Transformer blocks, and the scan that stacks them.

A block is x + attention(norm1(x)) followed by x + mlp(norm2(x)) (pre-norm), or the norm of each
sum (post-norm). The residual stream, norms and softmax are float32; products are in `dtype`.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float, Int

from m3i_jax.build import ConfigError, nearest
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.attend import CORES
from m3i_jax.nn.attention import Attention, Bias, Cells, Context, Mask, Shared, Tokens
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import SAVED
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.nn.observe import kept
from m3i_jax.nn.rotary import Rotation
from m3i_jax.nn.windows import Windows
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.types import Array, ObserveAttention, Observed, ObserveLayers

DTYPES = ("float32", "bfloat16", "float16")
SCHEDULES = ("linear", "uniform")
REMAT: dict[str, Callable | None] = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.save_only_these_names(SAVED),
}

# Of every block, where they are asked for: tokens, and the weights of attention.
Reports = tuple[
    Float[Array, "depth batch tokens dim"] | Observed | None,
    Float[Array, "depth batch heads queries keys"] | Observed | None,
]


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
    """One block; `norm` and `activation` are functions, `layer_scale` None = none.

    layer_bias: of the layers other than `qkv`.
    qk_norm, attention_norm, mlp_norm: functions that make norms of queries and keys, and of what
      the last layer of either branch reads; None = none.
    windows: in which the tokens attend, see `Attention`.
    """

    heads: int
    mlp_ratio: float = 4.0
    qkv_bias: bool | str = True
    relative: Callable[..., nn.Module] | None = None
    layer_scale: float | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    post_norm: bool = False
    activation: Callable = gelu
    gated: bool = False
    kernel_init: Init = Init()
    attention_dropout: float = 0.0
    attention: str = "auto"
    dtype: DTypeLike = jnp.float32
    layer_bias: bool = True
    qk_norm: Callable[..., nn.Module] | None = None
    attention_norm: Callable[..., nn.Module] | None = None
    mlp_norm: Callable[..., nn.Module] | None = None
    windows: Windows | None = None
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
            self.attention,
            self.dtype,
            self.qk_norm,
            self.attention_norm,
            self.layer_bias,
            self.windows,
            name="attn",
        )
        shape = self.mlp_ratio, self.activation, init, self.dtype, self.gated
        mlp = Mlp(*shape, self.layer_bias, self.mlp_norm, name="mlp")
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
    rotation: Rotation | None = None,
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
      mask, bias, cells, context, rotation: what the tokens attend to, see `Shared`.
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
    numbers, shared = jnp.arange(1, depth + 1), Shared(mask, bias, cells, context, rotation)
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
    attention: str = "auto",
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
    check_choice(what, "attention", attention, CORES)
    check_choice(what, "drop_path_schedule", schedule, SCHEDULES)


def check_choice(what: str, key: str, value: str, choices: Iterable[str]) -> None:
    """Refuses a `value` of `key` that is not among the `choices`."""
    if value not in choices:
        raise ConfigError(f"{what} has no {key} '{value}'{nearest(str(value), choices)}")
