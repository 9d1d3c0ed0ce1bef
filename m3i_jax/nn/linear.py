"""Matrix products in the compute dtype, with float32 accumulation and gradients stated by hand.

Two reasons for the custom gradients. In bfloat16, JAX's own transposes would multiply a float32
cotangent with a bfloat16 operand, which no hardware does fast. And stated as dW = x^T g over the
leading dimensions of both, XLA:CPU need not transpose the element-wise chain behind g, which
costs a third of a training step there.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.parallel import tables
from m3i_jax.parallel.constrain import summed_in, whole
from m3i_jax.parallel.tensor import Split
from m3i_jax.types import Array

# The name under which `remat="dots"` keeps the outputs of linear layers.
SAVED = "linear"


def dot(
    x: Float[Array, "*positions dim"], w: Float[Array, "dim out"], *, split: Split | None = None
) -> Float[Array, "*positions out"]:
    """y = x w, for x (..., k) in the compute dtype and w (k, m) float32; y (..., m) like x.

    dW = x^T g is summed over all leading dimensions and stays in the dtype of w.
    split: over the axis `tensor`; y is then split, or summed, as it says.
    """
    return _dot(split, x, w)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _dot(split, x, w):
    return product(x, w, split).astype(x.dtype)


def _dot_forward(split, x, w):
    return checkpoint_name(_dot(split, x, w), SAVED), (x, w)


def _dot_backward(split, saved, g):
    x, w = saved
    g = g.astype(x.dtype)
    return pulled(g, w, split).astype(x.dtype), gradient(x, g, w, split)


_dot.defvjp(_dot_forward, _dot_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def einsum(spec: str, x: Float[Array, "*one"], y: Float[Array, "*other"]) -> Float[Array, "*out"]:
    """Two-operand einsum of x and y in their compute dtype; the result is float32.

    Every index of one operand must occur in the other or in the result.
    """
    return jnp.einsum(spec, x, y, preferred_element_type=_accumulator(x))


def _einsum_forward(spec, x, y):
    return einsum(spec, x, y), (x, y)


def _einsum_backward(spec, saved, g):
    x, y = saved
    operands, result = spec.split("->")
    first, second = operands.split(",")
    g = g.astype(x.dtype)
    dx = einsum(f"{result},{second}->{first}", g, y).astype(x.dtype)
    dy = einsum(f"{result},{first}->{second}", g, x).astype(y.dtype)
    return dx, dy


einsum.defvjp(_einsum_forward, _einsum_backward)


def with_table(
    x: Float[Array, "batch *positions dim"], table: Float[Array, "rows dim"]
) -> Float[Array, "batch *positions rows"]:
    """x tableᵀ in float32, (B, D) or (B, n, D) with (M, D), which may be split over devices."""
    spec = "bnd,kd->bnk" if x.ndim == 3 else "bd,kd->bk"
    y = einsum(spec, tables.beside(x, table), tables.rows(table))
    return tables.compared(y, table)


def contract(
    x: Float[Array, "*one"],
    y: Float[Array, "*other"],
    over_x: tuple[int, ...],
    over_y: tuple[int, ...],
    *,
    dtype: DTypeLike | None = None,
) -> Float[Array, "*out"]:
    """x y summed over these axes of either, in float32: what `dot` is made of.

    dtype: of the result, float32 by default.
    """
    dimensions = ((over_x, over_y), ((), ()))
    return lax.dot_general(x, y, dimensions, preferred_element_type=dtype or _accumulator(x))


def product(
    x: Float[Array, "*positions dim"], w: Float[Array, "dim out"], split: Split | None
) -> Float[Array, "*positions out"]:
    """x w in float32, of a weight that may be split over `tensor`."""
    y = contract(x if split is None else split.input(x), _used(w, x, split), (x.ndim - 1,), (0,))
    return y if split is None else split.result(y)


def pulled(
    g: Float[Array, "*positions out"], w: Float[Array, "dim out"], split: Split | None
) -> Float[Array, "*positions dim"]:
    """The gradient of x, g wᵀ in float32."""
    g = g if split is None else split.result(g)
    dx = contract(g, _used(w, g, split), (g.ndim - 1,), (1,))
    return dx if split is None else split.input(dx)


def _used(w, x, split):
    """A weight as a product with x wants it: in its dtype, and whole on every device, or its share
    of the axis `tensor`."""
    w = w.astype(x.dtype)
    return whole(w) if split is None else split.used(w)


def gradient(
    x: Float[Array, "*positions dim"],
    g: Float[Array, "*positions out"],
    w: Float[Array, "dim out"],
    split: Split | None,
) -> Float[Array, "dim out"]:
    """dW = x^T g over all leading dimensions in the dtype of w, summed over devices in float32.

    In `constrain.summed_in` where that is set: each device's own sum, which is one of float32, is
    rounded to it. The product has to state it, as the compiler sums what a product makes.
    """
    leading = tuple(range(x.ndim - 1))
    if split is not None:
        x, g = split.input(x), split.result(g)
    dw = contract(x, g, leading, leading, dtype=summed_in.value)
    return (whole(dw) if split is None else split.gradient(dw)).astype(w.dtype)


def _accumulator(x):
    return jnp.promote_types(x.dtype, jnp.float32)


class Linear(nn.Module):
    """y = x W + b with float32 parameters `kernel` (k, features) and `bias` (features,).

    Initialised as MAE: Xavier-uniform kernel, zero bias. split: over the axis `tensor`; columns of
    y are then in its order.
    """

    features: int
    bias: bool = True
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: DTypeLike = jnp.float32
    split: Split | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions out"]:
        """x (..., k) -> (..., features) in `dtype`."""
        kernel, bias = weights(self, x.shape[-1])
        y = dot(x.astype(self.dtype), kernel, split=self.split)
        if bias is None:
            return y
        bias = bias if self.split is None else self.split.dealt(bias)
        # Added in float32 so that its gradient is summed in float32; the casts fuse away.
        shape = (1,) * (y.ndim - 1) + (self.features,)
        return (y.astype(jnp.float32) + bias.reshape(shape)).astype(self.dtype)


class Weights(nn.Module):
    """The parameters of a `Linear` of the same fields, for operations that hold several layers."""

    features: int
    bias: bool = True
    kernel_init: Callable = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(self, width: int) -> tuple[Float[Array, "dim out"], Float[Array, " out"] | None]:
        """Kernel (width, features) and bias (features,), None without one."""
        return weights(self, width)


def weights(
    module: Linear | Weights, width: int
) -> tuple[Float[Array, "dim out"], Float[Array, " out"] | None]:
    """Kernel and bias of a linear layer for inputs of `width`, as parameters of `module`."""
    shape = width, module.features
    kernel = module.param("kernel", module.kernel_init, shape, jnp.float32)
    zeros = nn.initializers.zeros
    return kernel, module.param("bias", zeros, shape[1:], jnp.float32) if module.bias else None
