"""Kernels as heads: cases with an answer, formulas in float64, and what merging takes up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr

from m3i_jax import encoders
from m3i_jax.analysis import kernels
from m3i_jax.nn.large_kernel import merge


def test_a_delta_looks_at_its_centre_alone():
    delta = np.zeros((2, 7, 7), np.float32)
    delta[:, 3, 3] = (2.0, -0.5)
    weights = kernels.absolute(delta)
    np.testing.assert_array_equal(weights, delta != 0)
    np.testing.assert_array_equal(kernels.kernel_distance(weights, stride=4), [0, 0])
    np.testing.assert_array_equal(kernels.kernel_entropy(weights), [0, 0])
    np.testing.assert_array_equal(kernels.kernel_divergence(weights), [0, 0])


def test_a_weight_at_the_side_is_as_far_as_it_is():
    side = np.zeros((1, 5, 9), np.float32)
    side[0, 2 + 1, 4 - 3] = 1.0
    np.testing.assert_allclose(kernels.kernel_distance(side, stride=8), 8 * 10**0.5, rtol=1e-6)


def test_an_even_kernel_has_the_entropy_of_its_size():
    even = kernels.absolute(np.full((3, 7, 5), -0.2, np.float32))
    np.testing.assert_allclose(kernels.kernel_entropy(even), np.log(35), rtol=1e-6)
    np.testing.assert_allclose(kernels.absolute(jnp.zeros((1, 7, 5))), even[:1], rtol=1e-6)
    np.testing.assert_allclose(kernels.softmax(jnp.zeros((1, 7, 5))), even[:1], rtol=1e-6)


@pytest.mark.parametrize("name", kernels.NORMALIZATIONS)
def test_formulas_in_float64(name):
    kernel = np.random.default_rng(0).normal(size=(6, 7, 5)).astype(np.float32)
    w = np.abs(np.float64(kernel)) if name == "absolute" else np.exp(np.float64(kernel))
    a = w / w.sum((1, 2), keepdims=True)
    weights = jax.jit(kernels.NORMALIZATIONS[name])(kernel)
    np.testing.assert_allclose(weights, a, rtol=1e-5)
    far = 4 * np.hypot(np.arange(7)[:, None] - 3, np.arange(5)[None] - 2)
    np.testing.assert_allclose(
        kernels.kernel_distance(weights, stride=4), (a * far).sum((1, 2)), rtol=2e-6
    )
    np.testing.assert_allclose(kernels.kernel_entropy(weights), -(a * np.log(a)).sum((1, 2)), 2e-6)
    pairs = rel_entr(a[:, None], a[None]).sum((2, 3))  # SciPy's own Kullback–Leibler terms
    np.testing.assert_allclose(kernels.kernel_divergence(weights), pairs.sum(1) / 5, rtol=1e-5)
    np.testing.assert_array_equal(kernels.kernel_divergence(weights[:1]), [0])


def test_kernels_of_a_replknet_are_those_that_it_convolves_with():
    """An impulse behind pw1 comes out as the merged kernel, mirrored; so the shapes are right."""
    module = encoders.create("replknet_nano")
    shapes = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    draw = np.random.default_rng(0).uniform
    params = jax.tree.map(lambda s: np.float32(draw(0.5, 1.5, s.shape)), shapes)
    merged = kernels.depthwise(merge(params), 2)
    assert [kernel.shape for kernel in merged] == 2 * [(32, 7, 7)] + 2 * [(64, 5, 5)]
    block = jax.tree.map(lambda leaf: leaf[1], params["stages_0"]["blocks"]["large"])
    impulse = np.zeros((1, 7, 7, 32), np.float32)
    impulse[0, 3, 3] = 1.0

    def branch(node, kernel):
        y = jax.lax.conv_general_dilated(
            impulse,
            kernel,
            (1, 1),
            "SAME",
            feature_group_count=32,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        y, norm = np.asarray(y), node["norm"]
        return y * norm["scale"] / np.sqrt(norm["var"] + 1e-5)

    y = branch(block, block["conv"]["kernel"]) + branch(
        block["small"], block["small"]["conv"]["kernel"]
    )
    np.testing.assert_allclose(merged[1], np.flip(y[0], (0, 1)).transpose(2, 0, 1), rtol=1e-5)
