"""Patch layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import geometry

RNG = np.random.default_rng(0)


def test_unpatchify_undoes_patchify():
    x = RNG.normal(size=(2, 12, 20, 3)).astype(np.float32)
    patches = geometry.patchify(x, 4)
    assert patches.shape == (2, 15, 48)
    np.testing.assert_array_equal(geometry.unpatchify(patches, 4, (3, 5)), x)


def test_every_pixel_lands_at_its_computed_index():
    h, w, p, c = 2, 3, 4, 3
    x = np.arange(h * p * w * p * c, dtype=np.float32).reshape(1, h * p, w * p, c)
    patches = np.asarray(geometry.patchify(x, p))
    for i in range(h * p):
        for j in range(w * p):
            for k in range(c):
                cell, place = (i // p) * w + j // p, ((i % p) * p + j % p) * c + k
                assert patches[0, cell, place] == x[0, i, j, k]


def test_a_linear_layer_on_patches_is_a_strided_convolution():
    x = RNG.normal(size=(2, 8, 12, 3)).astype(np.float32)
    kernel = RNG.normal(size=(4, 4, 3, 5)).astype(np.float32)
    conv = jax.lax.conv_general_dilated(
        x, kernel, (4, 4), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    linear = geometry.patchify(x, 4) @ kernel.reshape(48, 5)
    np.testing.assert_allclose(linear.reshape(2, 2, 3, 5), conv, atol=1e-5)  # sums of 48 terms


def test_refusals_name_the_numbers():
    with pytest.raises(ValueError, match="10x12 pixels .* patches of 4"):
        geometry.patchify(jnp.zeros((1, 10, 12, 3)), 4)
    with pytest.raises(ValueError, match="6 patches do not fill a grid of 2x2"):
        geometry.unpatchify(jnp.zeros((1, 6, 48)), 4, (2, 2))
    with pytest.raises(ValueError, match="47 values are not 4x4"):
        geometry.unpatchify(jnp.zeros((1, 4, 47)), 4, (2, 2))
