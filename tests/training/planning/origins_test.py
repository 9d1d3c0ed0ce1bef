"""What is kept of the arrays that a derivative holds, against counts by hand."""

import jax
import jax.numpy as jnp
import pytest

from m3i_jax.training.planning import origins

ROWS, SIDE, WIDTH = 4, 6, 8
NUMBERS = ROWS * SIDE * SIDE * WIDTH
IMAGE = jax.ShapeDtypeStruct((ROWS, SIDE, SIDE, WIDTH), "bfloat16")
KERNEL = jax.ShapeDtypeStruct((3, 3, WIDTH, WIDTH), "bfloat16")
KERNELS = 9 * WIDTH * WIDTH * 2  # bytes of one


def convolution(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def normed(x):
    """A norm by the batch in float32, and what is above zero."""
    wide = x.astype(jnp.float32)
    mean, var = (f(wide, (0, 1, 2), keepdims=True) for f in (jnp.mean, jnp.var))
    return jax.nn.relu((wide - mean) / jnp.sqrt(var + 1e-5)).astype(x.dtype)


def kept(fn, *shapes):
    """Bytes of `fn`'s derivative by all of its arguments, and those that it holds."""
    made = jax.make_jaxpr(lambda *arrays: jax.vjp(fn, *arrays)[1])(*shapes).jaxpr
    return origins.kept(made), sum(v.aval.size * v.aval.dtype.itemsize for v in made.outvars)


def test_convolutions_are_kept_and_what_norms_make_of_them_is_not():
    """Image and kernels, what two convolutions made in bfloat16, and vectors of a channel."""

    def fn(x, one, two):
        return normed(convolution(normed(convolution(x, one)), two)).astype(jnp.float32).sum()

    found, held = kept(fn, IMAGE, KERNEL, KERNEL)
    assert 0 <= found - 3 * NUMBERS * 2 - 2 * KERNELS < 20 * WIDTH * 4
    assert held > 2 * found


def test_a_sum_of_two_is_kept_in_what_reads_it():
    """Image, kernels and the sum, in bfloat16, not in float32: no norm reads what is summed."""

    def fn(x, *kernels):
        one, other = (convolution(x, kernel).astype(jnp.float32) for kernel in kernels[:2])
        read = jax.nn.relu(one + other).astype(x.dtype)
        return convolution(read, kernels[2]).astype(jnp.float32).sum()

    found, held = kept(fn, IMAGE, KERNEL, KERNEL, KERNEL)
    assert found == 2 * NUMBERS * 2 + 3 * KERNELS and held > found


@pytest.mark.parametrize(
    "after, bytes",
    [
        (lambda x: jnp.tanh(jnp.exp(x)) * x, 2),  # the result, in bfloat16
        (lambda x: jax.jit(jnp.sin)(x) * jnp.where(x > 0, 2 * x, 0), 2),  # calls are looked into
        (lambda x: jnp.square(x[:1]), 2 / ROWS),  # a part
        (lambda x: jnp.where(x > 0, 2 * x, 0), 1),  # a mask alone
        (lambda x: jnp.cumsum(x, 1) * x, 4),  # no loop over numbers: two arrays
    ],
)
def test_of_a_convolution_so_much_is_kept(after, bytes):
    """Beside image and kernel."""
    found, _ = kept(lambda *given: after(convolution(*given)).sum(), IMAGE, KERNEL)
    assert found == (2 + bytes) * NUMBERS + KERNELS


@pytest.mark.parametrize(
    "fn, arrays",
    [
        (lambda x: jnp.exp(jnp.sin(x)), 2),
        (lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c), None), x, length=3)[0], 3),
    ],
)
def test_without_one_everything_counts(fn, arrays):
    found, held = kept(fn, jax.ShapeDtypeStruct((NUMBERS,), "float32"))
    assert found == held == arrays * NUMBERS * 4
