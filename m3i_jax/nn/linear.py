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

from m3i_jax.parallel.constrain import summed_in, whole
from m3i_jax.types import Array

# The name under which `remat="dots"` keeps the outputs of linear layers.
SAVED = "linear"


@jax.custom_vjp
def dot(
    x: Float[Array, "*positions dim"], w: Float[Array, "dim out"]
) -> Float[Array, "*positions out"]:
    """y = x w, for x (..., k) in the compute dtype and w (k, m) float32; y (..., m) like x.

    dW = x^T g is summed over all leading dimensions and stays in the dtype of w.
    """
    return contract(x, used(w, x), (x.ndim - 1,), (0,)).astype(x.dtype)


def _dot_forward(x, w):
    return checkpoint_name(dot(x, w), SAVED), (x, w)


def _dot_backward(saved, g):
    x, w = saved
    g = g.astype(x.dtype)
    dx = contract(g, used(w, x), (g.ndim - 1,), (1,)).astype(x.dtype)
    return dx, gradient(x, g, w)


dot.defvjp(_dot_forward, _dot_backward)


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


def used(w: Float[Array, "dim out"], x: Float[Array, "*positions dim"]) -> Float[Array, "dim out"]:
    """A weight as a product with x wants it: in its dtype, and whole on every device."""
    return whole(w.astype(x.dtype))


def gradient(
    x: Float[Array, "*positions dim"], g: Float[Array, "*positions out"], w: Float[Array, "dim out"]
) -> Float[Array, "dim out"]:
    """dW = x^T g over all leading dimensions in the dtype of w, summed over devices in float32.

    In `constrain.summed_in` where that is set: each device's own sum, which is one of float32, is
    rounded to it. The product has to state it, as the compiler sums what a product makes.
    """
    leading = tuple(range(x.ndim - 1))
    dw = contract(x, g, leading, leading, dtype=summed_in.value)
    return whole(dw).astype(w.dtype)


def _accumulator(x):
    return jnp.promote_types(x.dtype, jnp.float32)


class Linear(nn.Module):
    """y = x W + b with float32 parameters `kernel` (k, features) and `bias` (features,).

    Initialised as MAE: Xavier-uniform kernel, zero bias.
    """

    features: int
    bias: bool = True
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions out"]:
        """x (..., k) -> (..., features) in `dtype`."""
        kernel, bias = weights(self, x.shape[-1])
        y = dot(x.astype(self.dtype), kernel)
        if bias is None:
            return y
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
