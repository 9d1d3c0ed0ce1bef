"""BEiT v2's class branch: the class token has to say what the early patch tokens do not."""

from typing import ClassVar

from flax import linen as nn

from m3i_jax.build import ConfigError
from m3i_jax.decoders.tokens import blocks, with_class
from m3i_jax.nn.blocks import check_blocks
from m3i_jax.nn.choices import Core, Dtype, QkvBias, Remat
from m3i_jax.nn.relative import RelativeBias
from m3i_jax.ranges import Depth, Gain, Heads, Ratio
from m3i_jax.types import Features, Grid


class ClassBranch(nn.Module):
    """[class token of the last block; patch tokens of block `layer`] through `depth` more blocks.

    Reads `Features.layers`. In the official code the class token comes from before the final norm,
    so the encoder has none and the head of both branches has `norm_in` (docs/methods.md#beit_v2).

    Attributes:
      layer: the block whose patch tokens are taken, from 1.
      depth, heads, mlp_ratio: of the further blocks, as wide as the input.
      relative_bias: a relative position bias shared by these blocks, starting at zero; the official
        code adds the encoder's.
      qkv_bias, layer_scale: as in the encoder.
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    layer: Depth = 9
    depth: Depth = 2
    heads: Heads = 12
    mlp_ratio: Ratio = 4.0
    relative_bias: bool = False
    qkv_bias: QkvBias = True
    layer_scale: Gain | None = None
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid",)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_blocks(
            "the class_branch",
            width=self.heads,
            heads=self.heads,
            depth=self.depth,
            dtype=self.dtype,
            remat=self.remat,
            attention=self.attention,
            qkv_bias=self.qkv_bias,
        )

    @nn.nowrap
    def check_input(self, *, width: int, depth: int) -> None:
        """Raises ConfigError for an encoder without its layer, or of a width of other heads.

        depth: of the encoder in blocks, 0 = not known.
        """
        if depth and self.layer > depth:
            raise ConfigError(
                f"the class_branch has layer {self.layer}, the encoder {depth} blocks"
            )
        if width % self.heads:
            raise ConfigError(
                f"the class_branch: width {width} is not divisible by {self.heads} heads"
            )

    @nn.compact
    def __call__(self, x: Features, *, grid: Grid, train: bool = False) -> Features:
        """Features with layers (depth, B, n, D) and pooled (B, D) -> tokens, pooled, float32."""
        if x.layers is None or x.pooled is None:
            lacking = "a class token" if x.pooled is None else "the outputs of all blocks"
            raise ConfigError(f"the class_branch needs {lacking}, which its input does not have")
        depth, width = x.layers.shape[0], x.layers.shape[-1]
        self.check_input(width=width, depth=depth)
        tokens, _ = with_class(x.layers[self.layer - 1], x.pooled)
        bias = None
        if self.relative_bias:
            bias = RelativeBias(self.heads, grid, name="relative_position")(x.index)
        options = dict(qkv_bias=self.qkv_bias, layer_scale=self.layer_scale)
        y, _ = blocks(self, tokens, bias=bias, **options)
        return Features(tokens=y[:, 1:], pooled=y[:, 0], index=x.index)
