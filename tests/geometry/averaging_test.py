"""Averages against answers that are known, and sizes against a bilinear formula in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import geometry, heatmaps

RNG = np.random.default_rng(9)
IMAGES = RNG.normal(size=(2, 12, 10, 3)).astype(np.float32)
KERNEL = RNG.normal(size=(3, 4)).astype(np.float32)
SCALES = (0.5, 1.0, 1.75)


def pointwise(x):
    return jnp.einsum("bhwc,cd->bhwd", x, KERNEL, precision="highest")


def test_without_scales_and_flips_a_network_is_itself():
    np.testing.assert_array_equal(geometry.averaged(pointwise)(IMAGES), pointwise(IMAGES))
    flipped = geometry.averaged(pointwise, flip=True)(IMAGES)
    np.testing.assert_allclose(flipped, pointwise(IMAGES), rtol=1e-6, atol=1e-6)


def test_a_mirrored_image_is_asked_about_and_answered_as_itself():
    sided = lambda x: x * jnp.arange(10, dtype=jnp.float32)[None, None, :, None]  # noqa: E731
    found = geometry.averaged(sided, flip=True)(IMAGES)
    np.testing.assert_allclose(found, IMAGES * 4.5, rtol=1e-5, atol=1e-6)  # (i + 9 − i)/2
    swap = lambda x: heatmaps.mirrored(x, ((0, 2),))  # noqa: E731
    found = geometry.averaged(lambda x: x, flip=True, back=swap)(IMAGES)
    wanted = (IMAGES + IMAGES[..., ::-1]) / 2
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_what_is_said_at_another_size_is_brought_back_and_then_averaged():
    seen = []

    def known(x):
        seen.append(x.shape[1:3])
        return jnp.full((*x.shape[:3], 2), jnp.log(jnp.float32(len(seen))) * jnp.arange(2.0))

    found = geometry.averaged(known, scales=SCALES, multiple=4, then=jax.nn.softmax)(IMAGES)
    assert seen == [(8, 8), (12, 10), (24, 20)]  # 6 x 5 and 21 x 18 as multiples of 4
    shares = np.mean([1 / 2, 2 / 3, 3 / 4])  # not the softmax of a mean of logits
    np.testing.assert_allclose(found[..., 1], shares, rtol=1e-6)
    flat = jnp.ones_like(IMAGES)
    found = geometry.averaged(pointwise, scales=SCALES, flip=True)(flat)
    np.testing.assert_allclose(found, pointwise(flat), rtol=1e-5)


def along(x, count, axis):
    """Linear between the centres of cells, whose ends go on beyond, as PyTorch has it."""
    x = np.moveaxis(x, axis, 0)
    at = ((np.arange(count) + 0.5) * len(x) / count - 0.5).clip(0, len(x) - 1)
    low = np.floor(at).astype(int)
    high, share = np.minimum(low + 1, len(x) - 1), (at - low).reshape(-1, *[1] * (x.ndim - 1))
    return np.moveaxis(x[low] * (1 - share) + x[high] * share, 0, axis)


def test_sizes_are_made_linearly_between_the_centres_of_pixels():
    for sides in ((6, 5), (21, 18)):
        back = along(along(IMAGES.astype(np.float64), sides[0], 1), sides[1], 2)
        back = along(along(back, 12, 1), 10, 2)
        found = geometry.averaged(lambda x: x, scales=(sides[0] / 12,))(IMAGES)
        np.testing.assert_allclose(found, back, atol=1e-5)
