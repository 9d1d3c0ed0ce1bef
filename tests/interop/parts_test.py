"""Layouts of tensors against what torch's layers compute with them."""

import jax
import numpy as np
import pytest

from m3i_jax import geometry
from m3i_jax.interop import parts


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def convolved(images, weight, stride=1):
    """NHWC images by an OIHW kernel, with no padding."""
    numbers = ("NHWC", "OIHW", "NHWC")
    return jax.lax.conv_general_dilated(
        images, weight, (stride, stride), "VALID", dimension_numbers=numbers, precision="highest"
    )


@pytest.mark.parametrize(
    "transform, shapes",
    [
        (parts.TRANSPOSED, [(3, 5)]),
        (parts.CONVOLUTION, [(5, 3, 2, 4)]),
        (parts.PATCHES, [(5, 3, 4, 4)]),
        (parts.FUSED, [(5, 3)] * 3),
        (parts.FUSED_BIAS, [(5,)] * 3),
        (parts.TOKEN, [(5,)]),
        (parts.TOKEN_ROW, [(1, 5)]),
        (parts.TABLE, [(7, 5)]),
        (parts.SHUFFLED, [(12, 5, 1, 1)]),
        (parts.SHUFFLED_BIAS, [(12,)]),
    ],
)
def test_there_and_back(transform, shapes):
    theirs = [draw(*shape) + i for i, shape in enumerate(shapes)]
    back = transform.theirs(transform.ours(*theirs))
    for a, b in zip(theirs, back, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_flat_patch_embedding_is_their_convolution():
    weight, images = draw(5, 3, 4, 4), draw(2, 8, 12, 3)
    kernel = parts.PATCHES.ours(weight)
    np.testing.assert_array_equal(parts.PATCHES.theirs(kernel.reshape(48, 5))[0], weight)
    ours = np.asarray(geometry.patchify(images, 4)) @ kernel.reshape(48, 5)
    want = np.asarray(convolved(images, weight, 4)).reshape(2, 6, 5)
    np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-5)


def test_pixel_shuffle_is_our_patches():
    weight, bias, codes = draw(12, 5, 1, 1), draw(12), draw(2, 3, 4, 5)
    out = np.einsum("bhwd,od->bohw", codes, weight[:, :, 0, 0]) + bias[:, None, None]
    # PixelShuffle: channel c·r² + i·r + j goes to pixel (i, j) of channel c.
    image = out.reshape(2, 3, 2, 2, 3, 4).transpose(0, 4, 2, 5, 3, 1).reshape(2, 6, 8, 3)
    ours = codes.reshape(2, 12, 5) @ parts.SHUFFLED.ours(weight) + parts.SHUFFLED_BIAS.ours(bias)
    want = np.asarray(geometry.patchify(image, 2))
    np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-5)


def test_fused_queries_keys_and_values_are_in_this_order():
    q, k, v = (draw(4, 3) + i for i in range(3))
    x = draw(2, 3)
    np.testing.assert_allclose(
        x @ parts.FUSED.ours(q, k, v), np.concatenate([x @ q.T, x @ k.T, x @ v.T], 1), rtol=1e-6
    )
