"""What layers of detection transformers are made of: attention to what is elsewhere, post-norm.

Carion et al. 2020 (DETR), https://arxiv.org/abs/2005.12872; Zhu et al. 2021 (Deformable DETR),
https://arxiv.org/abs/2010.04159. The stream is float32, products are in `dtype`.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax.nn.attend import attend, chosen
from m3i_jax.nn.convolution import TORCH
from m3i_jax.nn.deformable_attention import POINTS, DeformableAttention
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import Linear, Weights, dot
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.norms import layer_norm
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.types import Array, Grid

EPS = 1e-5
Perceptron = tuple[tuple[Float[Array, "_dim _out"], Float[Array, " _out"]], ...]


class CrossAttention(nn.Module):
    """y = W_y softmax(q kᵀ/√d) v + b, with q, k and v of three arrays: layers q, k, v and proj."""

    heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        queries: Float[Array, "batch queries dim"],
        keys: Float[Array, "batch keys dim"],
        values: Float[Array, "batch keys dim"],
        mask: Bool[Array, "#batch #heads queries keys"] | None = None,
    ) -> Float[Array, "batch queries dim"]:
        """Queries (B, Q, D), keys and values (B, N, D) -> (B, Q, D) in `dtype`.

        mask: broadcastable to (B, heads, Q, N), True = attend.
        """
        width, queries = queries.shape[-1], batch_sharded(queries)
        q, k, v = (
            Linear(width, dtype=self.dtype, name=name)(x).reshape(*x.shape[:2], self.heads, -1)
            for name, x in zip("qkv", (queries, keys, values), strict=True)
        )
        core = chosen("auto", plain=False, tokens=keys.shape[1], width=width, dtype=self.dtype)
        y = attend((width // self.heads) ** -0.5, core == "keep", q, k, v, (), mask)
        return Linear(width, dtype=self.dtype, name="proj")(y)


class Residual(nn.Module):
    """LN(x + y), the sum and the norm in float32; parameters scale and bias."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch queries dim"], y: Float[Array, "batch queries dim"]
    ) -> Float[Array, "batch queries dim"]:
        """x and y (B, Q, D) -> (B, Q, D) float32."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        return layer_norm(x + y.astype(jnp.float32), scale, bias, EPS, jnp.float32)


class DeformableLayer(nn.Module):
    """x ← LN(x + deformable(x + p)); x ← LN(x + mlp(x)): cells attend to a pyramid of themselves.

    Attributes:
      heads, points: of the attention.
      hidden: width of the MLP, whose activation is a ReLU.
      grids: (rows, columns) of each level.
      dtype: of products.
    """

    heads: int
    hidden: int
    grids: tuple[Grid, ...]
    points: int = POINTS
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch tokens dim"],
        position: Float[Array, "#batch tokens dim"],
        around: Float[Array, "tokens 2"],
        kept: Bool[Array, "batch tokens"] | None = None,
    ) -> tuple[Float[Array, "batch tokens dim"], None]:
        """Cells of all levels (B, N, D) float32 -> the same; second None, as a scan asks for.

        position: (B, N, D), added to what queries are made of.  around: (N, 2) [x, y] of the cells.
        kept: cells that are no padding, which others attend to; None = all.
        """
        x = batch_sharded(x)
        own = dict(heads=self.heads, levels=len(self.grids), points=self.points, dtype=self.dtype)
        around = jnp.broadcast_to(around[None], (len(x), *around.shape))
        attended = DeformableAttention(**own, name="attn")
        x = Residual(name="norm1")(x, attended(x + position, around, x, self.grids, kept))
        return feed_forward(x, self.hidden, dtype=self.dtype, norm="norm2"), None


def feed_forward(
    x: Float[Array, "batch queries dim"], hidden: int, *, dtype: DTypeLike, norm: str
) -> Float[Array, "batch queries dim"]:
    """LN(x + W₂ relu(W₁ x + b₁) + b₂) in a compact method; parameters mlp and those of `norm`."""
    init = Init.same(nn.initializers.xavier_uniform())
    mlp = Mlp(hidden / x.shape[-1], nn.relu, init, dtype, name="mlp")
    return Residual(name=norm)(x, mlp(x))


def scanned(
    layer: type[nn.Module],
    *fields: int | tuple[Grid, ...] | DTypeLike,
    length: int,
    shared: int,
) -> nn.Module:
    """So many layers of these fields, one after the other, in a compact method.

    Parameters are stacked below "blocks", by which optimisers and meshes know that the leading axis
    is of layers (`parallel.sharding.STACKED`).

    shared: how many arguments follow the first, which all layers get.
    """
    loop = nn.scan(
        layer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=(nn.broadcast,) * shared,
        length=length,
    )
    return loop(*fields, name="blocks")


class DeformableEncoder(nn.Module):
    """Deformable layers over the cells of all levels; fields as those of `DeformableLayer`."""

    layers: int
    heads: int
    hidden: int
    grids: tuple[Grid, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch tokens dim"],
        position: Float[Array, "#batch tokens dim"],
        kept: Bool[Array, "batch tokens"] | None = None,
    ) -> Float[Array, "batch tokens dim"]:
        """Cells (B, N, D), and what is added to them in queries -> (B, N, D) float32.

        kept: cells that are no padding; None = all.
        """
        own = self.heads, self.hidden, self.grids, POINTS, self.dtype
        stack = scanned(DeformableLayer, *own, length=self.layers, shared=3)
        return stack(x.astype(jnp.float32), position, centres(self.grids), kept)[0]


def centres(grids: Sequence[Grid]) -> Float[Array, "tokens 2"]:
    """[x, y] of the centres of all cells of all levels, as shares of the image; (N, 2) float32."""
    places = []
    for rows, columns in grids:
        y, x = jnp.meshgrid(
            (jnp.arange(rows, dtype=jnp.float32) + 0.5) / rows,
            (jnp.arange(columns, dtype=jnp.float32) + 0.5) / columns,
            indexing="ij",
        )
        places.append(jnp.stack([x, y], axis=-1).reshape(-1, 2))
    return jnp.concatenate(places)


def perceptron_weights(
    name: str, widths: Sequence[int], *, last: Initializer = TORCH
) -> Perceptron:
    """Those of a perceptron of such widths, in front of its first layer and behind each, in a
    compact method; below NAME_0, NAME_1, …

    last: initialises the kernel of the last layer.
    """
    inits = [TORCH] * (len(widths) - 2) + [last]
    return tuple(
        Weights(out, kernel_init=init, name=f"{name}_{i}")(before)
        for i, (before, out, init) in enumerate(zip(widths, widths[1:], inits, strict=False))
    )


def perceptron(
    layers: Perceptron,
    x: Float[Array, "*positions dim"],
    dtype: DTypeLike,
) -> Float[Array, "*positions out"]:
    """W_n relu(... relu(W_1 x + b_1) ...) + b_n, float32: an MLP whose weights others read, too.

    layers: kernels (k, m) and biases (m,).
    """
    for number, (kernel, bias) in enumerate(layers):
        x = nn.relu(x) if number else x
        x = dot(x.astype(dtype), kernel).astype(jnp.float32)
        x = x + bias.reshape((1,) * (x.ndim - 1) + bias.shape)
    return x
