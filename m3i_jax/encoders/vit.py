"""The Vision Transformer, with hidden patches dropped or masked.

Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929.

Parameter paths follow timm: patch_embed, cls_token, reg_token, pos_embed, norm_pre, blocks/{norm1,
attn/{qkv, q_bias, v_bias, q_norm, k_norm, relative_position, norm, proj}, norm2, mlp/{fc1, norm,
fc2} or mlp/{w12, norm, w3}, ls1, ls2}, norm, relative_position. patch_norm is AIMv2's; codes of
offsets, whose number differs between blocks, are blocks_{i}/relative_position/{rows, columns}.
"""

import functools
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Float32

from m3i_jax import geometry, masks, normalize
from m3i_jax.encoders import vit_options
from m3i_jax.encoders.protocol import blank, sides
from m3i_jax.nn import rotary
from m3i_jax.nn.activations import ACTIVATIONS
from m3i_jax.nn.blocks import stack
from m3i_jax.nn.choices import Activation, Core, DropPathSchedule, Dtype, QkvBias, Remat, WeightInit
from m3i_jax.nn.initial import INITS
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import TOKEN_NORMS
from m3i_jax.nn.relative import RelativeBias
from m3i_jax.nn.resample import resample
from m3i_jax.nn.windowed import Layout, windowed_stack
from m3i_jax.normalize import Normalization
from m3i_jax.ranges import (
    Depth,
    Dropped,
    Epsilon,
    Gain,
    Heads,
    Pixels,
    Positive,
    Range,
    Ratio,
    Width,
)
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers

POSITIONS = ("sincos", "tuned", "learned", "rope", "learned_rope", "none")
TURNED = ("rope", "learned_rope")
INNER = ("none", "mlp", "both")
RELATIVE = ("none", "shared", "layer", "decomposed")


class ViT(nn.Module):
    """Pre-norm Vision Transformer without a head; `VARIANTS` holds the published sizes.

    Attributes:
      width, depth, heads: of the blocks.
      patch: side of a patch in pixels.
      image: side of the images in pixels, or (height, width).
      mlp_ratio: width of the hidden layer over `width`; of a gated one, of either half.
      positions: "sincos", fixed in float32, rows first; "tuned", learned from there (fine-tuning,
        MAE); "learned" from noise; "rope", queries and keys of patches turned by where they are, in
        every block; "learned_rope", both; or "none".
      rope: its form, "dinov3", "eva02" or "capi", which gives registers places, see `nn.rotary`.
      rope_base: of its periods: 100 of DINOv3, 10000 of the others.
      relative_bias: BEiT's relative position bias, one "shared" table for all blocks, one per
        "layer"; ViTDet's, "decomposed", of codes of rows and columns; or "none".
      window: side of the windows of cells in which blocks attend, the map padded with zeros below
        and right (ViTDet: 14); 0 = to the whole map. Without class token and registers.
      global_blocks: numbers, from 1, of the blocks that attend to all of it beside windows
        (ViTDet: the last of each quarter).
      class_token: prepend a learned token, returned as the pooled feature.
      registers: learned tokens behind it, not returned, without positions (Darcet et al. 2024,
        https://arxiv.org/abs/2309.16588), which beside them are resampled smoothly, as DINOv2's.
      final_norm: norm behind the last block.
      normalization: of the channels that the weights expect, "imagenet", "clip", "inception" for
        [-1, 1], or (mean, std); the images given are always normalised as ImageNet's.
      hide: what becomes of hidden patches: "drop" removes them before the first block (MAE),
        "mask" puts a learned token in their places (BEiT, SimMIM).
      qkv_bias: bias of the fused query, key and value projection; "qv" = none on the keys (BEiT).
      patch_bias: bias of the patch embedding (CLIP has none).
      patch_norm: a norm behind it, in front of the positions (AIMv2).
      frozen_patch: the patch embedding stays as it was drawn (MoCo v3, SiameseIM).
      pre_norm: a norm in front of the first block (CLIP).
      norm: all of them, "layer" or "rms", without means and biases (AIMv2, CAPI).
      eps: of the norms.
      qk_norm: norms of the queries and keys of each head, with scales that all share, "layer" or
        "rms", or "none" (Dehghani et al. 2023, §2, https://arxiv.org/abs/2302.05442).
      inner_norm: a norm of what the last layer reads of the "mlp", of "both" branches, or "none"
        (EVA-02).
      block_bias: biases of the layers of a block other than `qkv_bias` (AIMv2, CAPI have none).
      activation: of the MLPs, "gelu" (exact), "quick_gelu" (CLIP), "gelu_tanh", "relu" or "silu".
      gated: whether the MLPs are gated, φ(a) · b; with activation="silu" they are SwiGLU (Shazeer
        2020, https://arxiv.org/abs/2002.05202; DINOv2's ViT-g has mlp_ratio 8/3).
      layer_scale: start of the LayerScale factors; None = none.
      drop_path: highest stochastic-depth rate.
      drop_path_schedule: how it rises over the blocks, "linear", or not, "uniform".
      attention_dropout: share of the attention weights that training drops (data2vec).
      weight_init: "mae", Xavier-uniform kernels and tokens of deviation 0.02; "deit", all from
        that normal; "vq_kd", attn.proj and mlp.fc2 of block l over sqrt(2l) besides; or "beit",
        with the normal cut off at one deviation besides.
      dtype: of the matrix products.
      scan, remat: how the blocks are compiled, see `blocks.stack`; no effect on parameters.
      attention: its core, see `attend.CORES`; no effect on parameters.
    """

    width: Width
    depth: Depth
    heads: Heads
    patch: Pixels
    image: Pixels | tuple[Pixels, Pixels] = 224
    mlp_ratio: Ratio = 4.0
    positions: Annotated[str, OneOf(*POSITIONS)] = "sincos"
    rope: Annotated[str, OneOf(*rotary.KINDS)] = "dinov3"
    rope_base: Positive = 100.0
    relative_bias: Annotated[str, OneOf(*RELATIVE)] = "none"
    window: Annotated[int, Range(0, 64)] = 0
    global_blocks: tuple[Annotated[int, Range(1, 1000)], ...] = ()
    class_token: bool = True
    registers: Annotated[int, Range(0, 64)] = 0
    final_norm: bool = True
    normalization: Normalization = "imagenet"
    hide: Annotated[str, OneOf("drop", "mask")] = "drop"
    qkv_bias: QkvBias = True
    patch_bias: bool = True
    patch_norm: bool = False
    frozen_patch: bool = False
    pre_norm: bool = False
    norm: Annotated[str, OneOf(*TOKEN_NORMS)] = "layer"
    eps: Epsilon = 1e-6
    qk_norm: Annotated[str, OneOf("none", *TOKEN_NORMS)] = "none"
    inner_norm: Annotated[str, OneOf(*INNER)] = "none"
    block_bias: bool = True
    activation: Activation = "gelu"
    gated: bool = False
    layer_scale: Gain | None = None
    drop_path: Dropped = 0.0
    drop_path_schedule: DropPathSchedule = "linear"
    attention_dropout: Dropped = 0.0
    weight_init: WeightInit = "mae"
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    kind: ClassVar[str] = "image"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return sides(self.image)

    @property
    def grid(self) -> Grid:
        """(rows, columns) of patches."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def turned(self) -> tuple[str, float] | None:
        """Form and base of the rotary positions; None without."""
        return (self.rope, self.rope_base) if self.positions in TURNED else None

    @property
    def on_map(self) -> bool:
        """Whether blocks attend on a map, of which no cell may be missing."""
        return self.window > 0 or self.relative_bias == "decomposed"

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.width

    @property
    def masking(self) -> str:
        """What becomes of hidden cells."""
        return self.hide

    @nn.nowrap
    def example(self) -> Float[Array, "1 height width 3"]:
        """A batch of one, for tracing."""
        return blank(self.size)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        vit_options.check(self)

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width 3"],
        *,
        visible: Bool[Array, "batch rows columns"] | None = None,
        keep: int | None = None,
        train: bool = False,
        layers: ObserveLayers = False,
        attention: ObserveAttention = False,
    ) -> Features:
        """Encodes images, seen through a mask.

        Args:
          images: (B, H, W, 3), normalised; of any size that the patch divides: positions are
            made for `image` and resampled for another grid.
          visible: (B, h, w) bool; hidden patches have no influence on anything returned.
          keep: static number of visible patches, the same in every image; needed to drop.
          train: whether paths and weights are dropped, with keys from the stream "droppath".
          layers: also return the tokens behind every block, before the final norm.
          attention: also return the attention weights of every block, among class token, registers
            and patches; beside windows a tuple, (B, windows, heads, q, k) of those that attend in
            them. A function, here or there, is an observer, see `ImageEncoder`.

        Returns:
          float32 Features; `index` says which cells the tokens are where patches were dropped.
        """
        grid = self._grid(images)
        tokens, index, positions = self._tokens(images, visible, keep, grid)
        x = self._with_class(tokens, positions)
        if self.pre_norm:
            x = self._norm()(name="norm_pre")(x)
        kept = dict(keep_layers=layers, keep_attention=attention)
        x, (outputs, weights) = self._blocks(x, index, grid, train, **kept)
        if self.final_norm:
            x = self._norm()(name="norm")(x)
        first, pooled = int(self.class_token) + self.registers, None
        if layers is True:
            pooled = outputs[:, :, 0] if self.class_token else None
            outputs = outputs[:, :, first:]
        return Features(
            tokens=x[:, first:],
            pooled=x[:, 0] if self.class_token else None,
            index=index,
            layers=outputs,
            attention=weights,
            layers_pooled=pooled,
        )

    def _grid(self, images):
        """(rows, columns) of patches in these images, which may be of another size."""
        height, width = images.shape[1:3]
        if height % self.patch or width % self.patch or not height or not width:
            raise ValueError(
                f"images are {height}x{width}, which is not divisible by patch {self.patch}"
            )
        return height // self.patch, width // self.patch

    def _tokens(self, images, visible, keep, grid):
        """Embedded patches with positions (B, n, D), their cells or None, the class position."""
        patches = geometry.patchify(normalize.renormalize(images, self.normalization), self.patch)
        positions = self._positions(grid)
        first, positions = positions[: int(self.class_token)], positions[int(self.class_token) :]
        # Asked for in any case, so that the parameters do not depend on there being a mask.
        token = self._learned("mask_token") if self.hide == "mask" else None
        embed = self._embedding()
        if visible is None:
            return embed(patches) + positions[None], None, first
        if visible.shape[1:] != grid:
            raise ValueError(f"the mask has {visible.shape[1:]} cells, the images have {grid}")
        if self.hide == "mask":
            hidden = ~visible.reshape(visible.shape[0], -1, 1)
            return jnp.where(hidden, token, embed(patches)) + positions[None], None, first
        if self.on_map:
            raise ValueError(
                "cells that are dropped leave no map for window or relative_bias 'decomposed': let "
                "the encoder hide='mask', or see all of them"
            )
        if keep is None:
            raise ValueError("dropping hidden patches needs `keep`, the number of visible ones")
        index = masks.indices(visible, keep)
        kept = jnp.take_along_axis(patches, index[:, :, None], axis=1, mode="clip")
        return embed(kept) + jnp.take(positions, index, axis=0, mode="clip"), index, first

    def _embedding(self):
        """The linear map of patches (B, n, p·p·3) -> (B, n, D) float32."""
        dtype, init = jnp.dtype(self.dtype), INITS[self.weight_init].qkv
        linear = Linear(self.width, self.patch_bias, init, dtype, name="patch_embed")
        norm = self._norm()(name="patch_norm") if self.patch_norm else lambda y: y

        def embed(patches):
            y = norm(linear(patches).astype(jnp.float32))
            return jax.lax.stop_gradient(y) if self.frozen_patch else y

        return embed

    def _with_class(self, tokens, position):
        """Tokens (B, n, D) behind the class token and the registers, if there are any."""
        before = [self._learned("cls_token") + position[None]] if self.class_token else []
        if self.registers:
            start = nn.initializers.normal(1e-6)
            shape = (1, self.registers, self.width)
            before.append(self.param("reg_token", start, shape, jnp.float32))
        alike = lambda x: jnp.broadcast_to(x, (len(tokens), *x.shape[1:]))  # noqa: E731
        return jnp.concatenate([*map(alike, before), tokens], axis=1) if before else tokens

    def _positions(self, grid):
        """(class + h·w, D) float32 table for a grid, resampled from the one of `image`."""
        rows = self.grid[0] * self.grid[1] + int(self.class_token)
        if self.positions in ("rope", "none"):
            return jnp.zeros((grid[0] * grid[1] + int(self.class_token), self.width))
        fixed = functools.partial(
            fixed_positions, self.grid, self.width, class_token=self.class_token
        )
        if self.positions == "sincos":
            table = fixed()
        elif self.positions == "tuned":
            table = self.param("pos_embed", lambda key: fixed()[None])[0]
        else:
            table = self._learned("pos_embed", rows)[0]
        if grid == self.grid:
            return table
        first, table = table[: int(self.class_token)], table[int(self.class_token) :]
        # DINOv2 smooths where it has registers, and only there.
        table = table.reshape(*self.grid, self.width)
        table = resample(table, grid, smooth=self.registers > 0).reshape(-1, self.width)
        return jnp.concatenate([first, table])

    def _rotation(self, index, grid):
        """By which queries and keys are turned."""
        first = dict(class_token=self.class_token, registers=self.registers)
        how = first | dict(dim=self.width // self.heads, base=self.rope_base)
        return rotary.of_tokens(self.rope, grid, index, **how) if self.turned else None

    def _norm(self, kind=None):
        """What makes a norm of this encoder, or of another kind; None of "none"."""
        kind = kind or self.norm
        return None if kind == "none" else functools.partial(TOKEN_NORMS[kind], eps=self.eps)

    def _learned(self, name, rows=1):
        init = INITS["beit"].qkv if self.weight_init == "beit" else nn.initializers.normal(0.02)
        return self.param(name, init, (1, rows, self.width), jnp.float32)

    def _blocks(self, x, index, grid, train, **keep):
        """Tokens (B, n, D), class first, through the blocks, and what they keep."""
        common = dict(
            depth=self.depth,
            rotation=self._rotation(index, grid),
            drop_path=self.drop_path,
            schedule=self.drop_path_schedule,
            attention_dropout=self.attention_dropout,
            train=train,
            scan=self.scan,
            remat=self.remat,
            attention=self.attention,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            qkv_bias=self.qkv_bias,
            layer_scale=self.layer_scale,
            kernel_init=INITS[self.weight_init],
            norm=self._norm(),
            qk_norm=self._norm(self.qk_norm),
            attention_norm=self._norm() if self.inner_norm == "both" else None,
            mlp_norm=None if self.inner_norm == "none" else self._norm(),
            layer_bias=self.block_bias,
            activation=ACTIVATIONS[self.activation],
            gated=self.gated,
            dtype=jnp.dtype(self.dtype),
            **keep,
        )
        if self.on_map:
            codes = self.relative_bias == "decomposed"
            layout = Layout(self.grid, grid, self.window, self.global_blocks, codes)
            return windowed_stack(self, x, layout, **common)
        relative = functools.partial(
            RelativeBias, self.heads, self.grid, at=grid, class_token=self.class_token
        )
        shared, layer = (self.relative_bias == kind for kind in ("shared", "layer"))
        return stack(
            x,
            bias=relative(name="relative_position")(index) if shared else None,
            cells=index if layer else None,
            relative=relative if layer else None,
            **common,
        )


def fixed_positions(
    grid: Grid, width: int, *, class_token: bool
) -> Float32[Array, "tokens {width}"]:
    """Sin-cos table (class + h·w, D), rows first; the class token has zeros; no gradient."""
    table = geometry.sincos(grid, width).astype(jnp.float32)
    table = jnp.pad(table, ((int(class_token), 0), (0, 0)))
    return jax.lax.stop_gradient(table)


VARIANTS = {
    "vit_nano": functools.partial(ViT, image=32, patch=4, width=128, depth=4, heads=4),
    "vit_ti16": functools.partial(ViT, patch=16, width=192, depth=12, heads=3),
    "vit_s16": functools.partial(ViT, patch=16, width=384, depth=12, heads=6),
    "vit_b16": functools.partial(ViT, patch=16, width=768, depth=12, heads=12),
    "vit_l16": functools.partial(ViT, patch=16, width=1024, depth=24, heads=16),
    "vit_h14": functools.partial(ViT, patch=14, width=1280, depth=32, heads=16),
}
