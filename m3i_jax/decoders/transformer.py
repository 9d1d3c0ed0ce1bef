"""Dense decoders made of transformer blocks, and SiameseIM's token projector."""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax import geometry
from m3i_jax.build import ConfigError
from m3i_jax.decoders.tokens import absolute, blocks, check_sizes, fill, mask_token, with_class
from m3i_jax.nn.blocks import check_choice
from m3i_jax.nn.choices import Core, Dtype, Norm, Remat
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import NORMS, LayerNorm
from m3i_jax.ranges import Depth, Head, Heads, Range, Ratio, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Box, Features, Grid


class Infill(nn.Module):
    """MAE's decoder: mask tokens in the missing cells, blocks over the whole grid.

    y = W_out LN(blocks([W_in class; W_in tokens or mask token] + PE)) + b, at every cell. He et al.
    2022, §3, https://arxiv.org/abs/2111.06377.

    Attributes:
      out: width of the result.
      width, depth, heads, mlp_ratio: of the blocks.
      head: "linear", W_out alone; or "tanh", W_out tanh(W_fc · + b_fc), VQ-KD's.
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    out: Head
    width: Width = 512
    depth: Depth = 8
    heads: Heads = 16
    mlp_ratio: Ratio = 4.0
    head: Annotated[str, OneOf("linear", "tanh")] = "linear"
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid",)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_sizes("the infill decoder", self)
        check_choice("the infill decoder", "head", self.head, ("linear", "tanh"))

    @nn.compact
    def __call__(
        self, x: Features, *, grid: Grid, train: bool = False
    ) -> Float[Array, "batch tokens dim"]:
        """Features with tokens (B, n, D) in cells `index` of the grid -> (B, h·w, out) float32.

        The class token takes part where there is one.
        """
        dtype = jnp.dtype(self.dtype)
        tokens, first = with_class(x.tokens, x.pooled)
        tokens = Linear(self.width, dtype=dtype, name="embed")(tokens).astype(jnp.float32)
        tokens, class_token = tokens[:, first:], tokens[:, :first]
        token = mask_token(self)
        if x.index is not None:
            empty = jnp.broadcast_to(token, (tokens.shape[0], grid[0] * grid[1], self.width))
            tokens = fill(empty, x.index, tokens)
        tokens = tokens + absolute(grid, self.width)[None]
        y, _ = blocks(self, jnp.concatenate([class_token, tokens], axis=1))
        y = LayerNorm(dtype=dtype, name="norm")(y[:, first:])
        if self.head == "tanh":
            y = jnp.tanh(Linear(self.width, dtype=dtype, name="fc")(y))
        return Linear(self.out, dtype=dtype, name="head")(y).astype(jnp.float32)


class Query(nn.Module):
    """The decoder of SiameseIM and M3I: mask tokens ask for the cells of another view.

    y = W_out blocks([W_in tokens + PE(own cells); mask token + W_rel PE_rel(source, target)]) + b
    at the mask tokens, one per target cell (docs/methods.md#two-views).

    Attributes:
      out: width of the result.
      width, depth, heads, mlp_ratio: of the blocks.
      norm: "layer", or "batch" over batch and tokens (SiameseIM).
      embed: W_in; False passes tokens that have the width already (behind a projector).
      class_token: give the class token to the blocks too, with zero position.
      norm_out: a norm in front of W_out.
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    out: Head
    width: Width = 768
    depth: Depth = 4
    heads: Heads = 16
    mlp_ratio: Ratio = 4.0
    norm: Norm = "layer"
    embed: bool = True
    class_token: bool = False
    norm_out: bool = False
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid", "source", "target", "target_grid")

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_sizes("the query decoder", self)
        check_choice("the query decoder", "norm", self.norm, NORMS)

    @nn.compact
    def __call__(
        self,
        x: Features,
        *,
        grid: Grid,
        source: Box | Float[Array, "batch 6"] | None = None,
        target: Box | Float[Array, "batch 6"] | None = None,
        target_grid: Grid | None = None,
        train: bool = False,
    ) -> Float[Array, "batch tokens dim"]:
        """Predicts every cell of the target view.

        Args:
          x: tokens (B, n, D) in cells `index` of `grid`; pooled (B, D) is the class token.
          grid: grid of x.
          source, target: crops that input and target were cut from; None = the same crop.
          target_grid: grid of the target; None = grid of x.
          train: unused.

        Returns:
          (B, h·w of the target grid, out) float32.
        """
        dtype = jnp.dtype(self.dtype)
        context = self._context(x, grid, dtype)
        queries = self._queries(context.shape[0], grid, source, target, target_grid, dtype)
        y, norm = blocks(self, jnp.concatenate([context, queries], axis=1), norm=self.norm)
        y = y[:, context.shape[1] :]
        y = norm(dtype=dtype, name="norm")(y) if self.norm_out else y
        return Linear(self.out, dtype=dtype, name="head")(y).astype(jnp.float32)

    def _context(self, x, grid, dtype):
        """Given tokens with their absolute positions, (B, n + class, W) float32."""
        if self.class_token and x.pooled is None:
            raise ConfigError("the query decoder has class_token, but its input has none")
        tokens, first = with_class(x.tokens, x.pooled if self.class_token else None)
        if self.embed:
            tokens = Linear(self.width, dtype=dtype, name="embed")(tokens).astype(jnp.float32)
        elif tokens.shape[-1] != self.width:
            raise ConfigError(
                f"the query decoder has embed=False and width {self.width}, "
                f"but its input has width {tokens.shape[-1]}"
            )
        table = absolute(grid, self.width)
        places = table[None] if x.index is None else jnp.take(table, x.index, axis=0, mode="clip")
        return tokens + jnp.pad(places, ((0, 0), (first, 0), (0, 0)))

    def _queries(self, batch, grid, source, target, target_grid, dtype):
        """Mask tokens with the positions of the target's cells in the source, (B, L, W)."""
        if (source is None) != (target is None):
            raise ValueError("the query decoder needs the crops of both views, or of neither")
        if source is None:
            one, zero = jnp.ones((batch,)), jnp.zeros((batch,))
            source = target = Box(zero, zero, one, one, zero, one)
        table = geometry.relative_sincos(
            source, target, target_grid or grid, self.width, source_grid=grid
        )
        table = jax.lax.stop_gradient(table.astype(jnp.float32))
        places = Linear(self.width, dtype=dtype, name="relative")(table)
        return mask_token(self) + places.astype(jnp.float32)


class Projector(nn.Module):
    """SiameseIM's token head: Linear, then blocks over class and patch tokens.

    docs/methods.md#siamese_im.

    Attributes:
      width: of the blocks and of the result; 0 = the width of the input.
      depth, heads, mlp_ratio: of the blocks.
      norm: "batch" over batch and tokens, or "layer".
      class_token: let the class token take part.
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    width: Annotated[int, Range(0, 2**17)] = 0
    depth: Depth = 2
    heads: Heads = 16
    mlp_ratio: Ratio = 4.0
    norm: Norm = "batch"
    class_token: bool = True
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_sizes("the projector", self)
        check_choice("the projector", "norm", self.norm, NORMS)

    @nn.nowrap
    def check_input(self, *, width: int, depth: int = 0) -> None:
        """Raises ConfigError for an input of a width that no such blocks have."""
        width = self.width or width
        if width % self.heads:
            raise ConfigError(
                f"the projector: width {width} is not divisible by {self.heads} heads"
            )

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Features:
        """Features of width D -> Features of width W in the same cells, float32."""
        if self.class_token and x.pooled is None:
            raise ConfigError("the projector has class_token, but its input has none")
        tokens, first = with_class(x.tokens, x.pooled if self.class_token else None)
        width = self.width or tokens.shape[-1]
        self.check_input(width=width)
        y = Linear(width, dtype=jnp.dtype(self.dtype), name="embed")(tokens)
        y, _ = blocks(self, y, norm=self.norm)
        return Features(tokens=y[:, first:], pooled=y[:, 0] if first else None, index=x.index)
