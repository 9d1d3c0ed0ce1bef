"""Normalisations against float64 NumPy, among them the sliding window against a direct loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import geometry, normalize
from m3i_jax.build import ConfigError

RNG = np.random.default_rng(0)
window_jit = jax.jit(normalize.sliding_window, static_argnums=1, static_argnames="per_channel")


def photo(height=40, width=48):
    """8-bit picture: smooth shapes, fine texture in one half, a flat patch, values in [0, 1]."""
    y, x = np.mgrid[:height, :width] / 16.0
    base = np.stack([np.sin(y + c) * np.cos(1.3 * x - c) for c in range(3)], -1) * 0.3 + 0.5
    base[:, : width // 2] += RNG.normal(size=(height, width // 2, 3)) * 0.03
    base[8:24, 30:46] = (0.8, 0.3, 0.1)
    return np.round(np.clip(base, 0, 1) * 255)[None] / 255


def direct_window(images, window, per_channel, eps=1e-6):
    """docs/methods.md#pixel-targets, pixel by pixel in float64."""
    x = np.asarray(images, np.float64)
    out = np.zeros_like(x)
    _, height, width, _ = x.shape
    for i in range(height):
        for j in range(width):
            rows = slice(max(i - window // 2, 0), i + (window - 1) // 2 + 1)
            columns = slice(max(j - window // 2, 0), j + (window - 1) // 2 + 1)
            axes = (1, 2) if per_channel else (1, 2, 3)
            seen = x[:, rows, columns]
            n = np.prod([seen.shape[a] for a in axes])
            mean = seen.mean(axes).reshape(len(x), -1)
            var = seen.var(axes).reshape(len(x), -1) * n / max(n - 1, 1)
            out[:, i, j] = (x[:, i, j] - mean) / np.sqrt(var + eps)
    return out


@pytest.mark.parametrize(
    "window, per_channel",
    [
        (3, False),
        (6, True),
        (47, False),
        (8, False),
        (8, True),
        (7, False),
        (13, True),
        (2, True),
        (1, False),
    ],
)
def test_sliding_window_equals_the_direct_loop_borders_included(window, per_channel):
    # A checkerboard under the noise: no window is flat, so errors are those of float32 sums.
    checker = np.indices((2, 11, 14, 3)).sum(0) % 2
    images = 0.2 + 0.4 * checker + RNG.uniform(size=checker.shape) * 0.2
    got = window_jit(images.astype(np.float32), window, per_channel=per_channel)
    wanted = direct_window(images.astype(np.float32), window, per_channel)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("window", [8, 47])
@pytest.mark.parametrize("per_channel", [False, True])
def test_sliding_window_is_accurate_on_a_photo(window, per_channel):
    images = photo()
    wanted = direct_window(images.astype(np.float32), window, per_channel)
    got = window_jit(images.astype(np.float32), window, per_channel=per_channel)
    assert abs(got - wanted).max() <= 2e-4  # the goal; variances here go down to single grey levels
    assert abs(wanted).max() > 2


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_constant_image_becomes_zero(per_channel):
    values = np.array([0.0, 0.3, 1.0, 117.0], np.float32)
    images = np.broadcast_to(values[:, None, None, None], (4, 20, 20, 3))
    got = window_jit(images, 8, per_channel=per_channel)
    # 1/√eps = 1000 magnifies the rounding of the mean, relative to the value.
    assert (abs(got).max((1, 2, 3)) <= 2e-4 * np.maximum(values, 1.0)).all()


def test_a_patch_of_single_grey_levels_far_from_the_image_mean_is_accurate():
    """The hardest case for float32: a variance of 1e-5 beside a squared mean of 0.1."""
    images = np.full((1, 40, 40, 3), 0.4)
    images[:, 8:32, 20:] = 0.75
    images += RNG.integers(-1, 2, images.shape) / 255
    images = images.astype(np.float32)
    error = abs(window_jit(images, 8) - direct_window(images, 8, False))
    assert error.max() <= 5e-5  # 7e-4 by E[x²] − E[x]²
    flat = images.copy()
    flat[:, 8:32, 20:] = 0.75
    error = abs(window_jit(flat, 8) - direct_window(flat, 8, False))
    assert error.max() <= 5e-5  # 7e-4 by E[x²] − E[x]²


def test_the_window_of_eight_reaches_four_back_and_three_ahead():
    images = np.zeros((20, 20, 20, 1), np.float32)
    images[np.arange(20), 10, np.arange(20)] = 1  # image j has its dot in column j
    seen = abs(window_jit(images, 8)[:, 10, 10, 0]) > 1e-3
    assert [j - 10 for j in range(20) if seen[j]] == list(range(-4, 4))


def test_patches_equal_unbiased_statistics():
    images = RNG.uniform(size=(2, 8, 12, 3))
    got = geometry.patchify(normalize.patches(images, 4), 4)
    cells = np.asarray(geometry.patchify(images, 4), np.float64)
    mean, var = cells.mean(-1, keepdims=True), cells.var(-1, ddof=1, keepdims=True)
    wanted = (cells - mean) / np.sqrt(var + 1e-6)
    np.testing.assert_allclose(got, wanted, atol=2e-6)
    # 48 values: the biased variance would be off by 1 %, which this sees.
    biased = (cells - mean) / np.sqrt(cells.var(-1, keepdims=True) + 1e-6)
    assert abs(got - biased).max() > 1e-2


def test_flat_patches_become_zero_with_finite_gradients():
    flat = jnp.full((1, 8, 8, 3), 0.7)
    # 1/√eps = 1000 times the error of the mean of 48 numbers: up to 8 units in the last place
    # (6e-8) of 0.7, in whatever order the compiler adds them. Seen: 0 to 5.
    assert abs(normalize.patches(flat, 4)).max() <= 1000 * 8 * 6e-8
    for fn in (lambda x: normalize.patches(x, 4), normalize.sliding_window, normalize.layer):
        assert np.isfinite(jax.jit(jax.grad(lambda x, fn=fn: (fn(x) ** 2).sum()))(flat)).all()


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: normalize.patches(x, 4),
        normalize.sliding_window,
        normalize.layer,
        normalize.unit,
        normalize.channels,
        normalize.undo_channels,
    ],
)
def test_low_precision_is_raised_before_anything_is_computed(fn):
    x = jnp.asarray(RNG.uniform(size=(1, 8, 8, 3)), jnp.bfloat16)
    assert fn(x).dtype == jnp.float32
    np.testing.assert_array_equal(fn(x), fn(x.astype(jnp.float32)))


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_layer_equals_the_formula_far_from_zero_too(shift):
    x = (RNG.normal(size=(3, 5, 64)) * 0.5 + shift).astype(np.float32)
    exact = x.astype(np.float64)
    wanted = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-5)
    # A sum of 64 values of 1000 is rounded to 4e-3 a few times, its mean to some 1e-4.
    np.testing.assert_allclose(normalize.layer(x), wanted, atol=2e-6 if shift == 0 else 1e-3)


def test_unit_vectors():
    x = RNG.normal(size=(4, 7))
    wanted = x / np.linalg.norm(x, axis=-1, keepdims=True)
    np.testing.assert_allclose(normalize.unit(x), wanted, rtol=2e-6)
    zero = jnp.zeros((2, 7))
    assert not normalize.unit(zero).any()
    gradient = jax.grad(lambda v: normalize.unit(v).sum())(zero)
    assert np.isfinite(gradient).all()


SCALES = (1e-30, 1e-25, 1e-7, 1e-3, 1.0, 1e4, 1e18, 1e25, 1e30)
ROWS = RNG.normal(size=(4, 7)).astype(np.float32)
WEIGHTS = RNG.normal(size=ROWS.shape)


@pytest.mark.parametrize("scale", SCALES)
def test_directions_are_those_of_float64_at_any_length(scale):
    x = (ROWS * np.float32(scale)).astype(np.float32)
    length = np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True)
    wanted = x / length
    np.testing.assert_allclose(normalize.unit(x), wanted, rtol=3e-7)
    gradient = jax.grad(lambda v: (normalize.unit(v) * WEIGHTS).sum())(jnp.asarray(x))
    along = (wanted * WEIGHTS).sum(-1, keepdims=True)
    exact = (WEIGHTS - wanted * along) / np.maximum(length, 1e-6)
    np.testing.assert_allclose(gradient, exact, atol=5e-7 * abs(exact).max(), rtol=0)


def test_a_row_of_one_number_of_zeros_and_of_others_sizes():
    x = np.array([[3e-20, 0, 0], [0, 0, 0], [-2e30, 0, 0], [1e-30, 1, 1e30]], np.float32)
    wanted = [[1, 0, 0], [0, 0, 0], [-1, 0, 0], [0, 1e-30, 1]]
    np.testing.assert_allclose(normalize.unit(x), wanted, rtol=1e-6)
    gradient = jax.grad(lambda v: normalize.unit(v)[1].sum())(jnp.asarray(x))
    np.testing.assert_allclose(gradient[1], [1e6] * 3, rtol=1e-6)  # 1/eps
    assert np.isnan(normalize.unit(np.array([np.inf, 1]))).any()


def test_ordinary_directions_and_their_gradients_are_what_they_were():
    x = jnp.asarray(RNG.normal(size=(64, 33)) * np.logspace(-2, 2, 33), jnp.float32)
    was = lambda x: x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True))  # noqa: E731
    np.testing.assert_array_equal(jax.jit(normalize.unit)(x), jax.jit(was)(x))
    (now,), (then,) = (jax.vjp(f, x)[1](x[::-1]) for f in (normalize.unit, was))
    np.testing.assert_allclose(now, then, atol=1e-6 * abs(then).max(), rtol=0)


@pytest.mark.parametrize("scale", [1.0, 1e18, 1e25, 1e30])
def test_what_is_large_is_normalised_as_in_float64(scale):
    """Its squares are infinite in float32, and by them all of it was 0."""
    x = (RNG.uniform(size=(2, 8, 8, 3)) * scale).astype(np.float32)
    exact = x.astype(np.float64)
    centred = exact - exact.mean(-1, keepdims=True)
    wanted = centred / np.sqrt(np.square(centred).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(normalize.layer(x), wanted, atol=3e-6)
    cells = geometry.patchify(exact, 4)
    mean, var = cells.mean(-1, keepdims=True), cells.var(-1, ddof=1, keepdims=True)
    wanted = (cells - mean) / np.sqrt(var + 1e-6)
    np.testing.assert_allclose(geometry.patchify(normalize.patches(x, 4), 4), wanted, atol=3e-6)
    got = geometry.patchify(normalize.patch_statistics(x, 4)[1], 4)[..., :1]
    np.testing.assert_allclose(got, np.sqrt(var + 1e-6), rtol=1e-5)
    wanted = direct_window(x, 5, False)
    np.testing.assert_allclose(normalize.sliding_window(x, 5), wanted, atol=1e-5)
    got = normalize.window_statistics(x, window=5)
    np.testing.assert_allclose(wanted * got[1] + got[0], exact, atol=3e-6 * scale)


@pytest.mark.parametrize("axis", [-1, 0, None, (0, 1)])
def test_a_magnitude_is_a_power_of_two_below_the_largest(axis):
    x = np.array([[0.75, -3.0, 0], [2**100, 1e-30, 5], [0, 0, 0]], np.float32)
    largest = abs(x).max(axis, keepdims=True)
    safe = np.where(largest > 0, largest, 1)
    wanted = np.where(largest > 0, 2.0 ** np.floor(np.log2(safe)), 1)
    np.testing.assert_array_equal(normalize.magnitude(x, axis=axis), wanted)
    ends = [[3e38], [-1.2e-38], [1e-45], [np.inf]]
    got = np.asarray(normalize.magnitude(np.array(ends, np.float32)))
    assert got[0] == got[3] == 2.0**126 and got[1] == 2.0**-126 and got[2] in (1, 2.0**-126)


def test_channels_and_back():
    x = RNG.uniform(size=(2, 4, 4, 3))
    normalized = normalize.channels(x)
    wanted = (x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(normalized, wanted, atol=1e-6)
    np.testing.assert_allclose(normalize.undo_channels(normalized), x, atol=1e-6)
    half = normalize.channels(x, mean=(0.5,) * 3, std=(0.5,) * 3)
    np.testing.assert_allclose(half, 2 * x - 1, atol=1e-6)


def test_patches_have_to_fit():
    with pytest.raises(ValueError, match="9x8 pixels .* patches of 4"):
        normalize.patches(jnp.zeros((1, 9, 8, 3)), 4)


@pytest.mark.parametrize(
    "name, mean, std",
    [
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("clip", (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ("inception", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_images_change_from_imagenets_statistics_to_others(name, mean, std):
    pixels = photo()
    given = normalize.channels(pixels.astype(np.float32))
    # Two roundings of values up to 2.7.
    wanted = (pixels - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(normalize.renormalize(given, name), wanted, atol=1e-6)


@pytest.mark.parametrize("window, per_channel", [(8, False), (47, True), (3, True)])
def test_window_statistics_are_those_of_the_direct_loop_and_bring_the_image_back(
    window, per_channel
):
    images = (3 + RNG.uniform(size=(2, 11, 14, 3))).astype(np.float32)
    mean, deviation = normalize.window_statistics(images, window=window, per_channel=per_channel)
    assert mean.shape[-1] == deviation.shape[-1] == (3 if per_channel else 1)
    back = normalize.sliding_window(images, window, per_channel=per_channel) * deviation + mean
    np.testing.assert_allclose(back, images, atol=2e-6)  # four units in the last place of 4
    wanted = direct_window(images, window, per_channel)
    np.testing.assert_allclose((images - mean) / deviation, wanted, atol=2e-5)


def test_patch_statistics_bring_the_image_back():
    images = (3 + RNG.uniform(size=(2, 8, 12, 3))).astype(np.float32)
    mean, deviation = normalize.patch_statistics(images, 4)
    cells = np.asarray(geometry.patchify(images, 4), np.float64)
    wanted = np.broadcast_to(cells.mean(-1, keepdims=True), cells.shape)
    np.testing.assert_allclose(geometry.patchify(mean, 4), wanted, atol=1e-6)
    wanted = np.broadcast_to(np.sqrt(cells.var(-1, ddof=1, keepdims=True) + 1e-6), cells.shape)
    np.testing.assert_allclose(geometry.patchify(deviation, 4), wanted, atol=1e-6)
    back = normalize.patches(images, 4) * deviation + mean
    np.testing.assert_allclose(back, images, atol=2e-6)


def test_statistics_have_a_name_or_are_given():
    assert normalize.statistics("inception") == ((0.5,) * 3, (0.5,) * 3)
    own = [[0.1, 0.2, 0.3], [1, 0.5, 0.6]]
    assert normalize.statistics(own) == ((0.1, 0.2, 0.3), (1.0, 0.5, 0.6))
    pixels = RNG.uniform(size=(2, 3, 4, 3))
    got = normalize.renormalize(normalize.channels(pixels), own)
    np.testing.assert_allclose(got, (pixels - own[0]) / own[1], atol=1e-5)


@pytest.mark.parametrize(
    "choice",
    [
        "klip",
        ((0, 0), (1, 1)),
        ((0, 0, 0), (1, 0, 1)),
        ((0, 0, 0), (1, 1, np.nan)),
        ((0, 0, 0), (1, 1, 1e-30)),
        ((0, 0, 1e30), (1, 1, 1)),
        (1, 2),
        3,
        None,
    ],
)
def test_statistics_that_are_none_are_refused(choice):
    with pytest.raises(ConfigError, match="the encoder has .*normalization"):
        normalize.statistics(choice)


def test_levels_are_scaled_and_normalised_as_encoders_expect_them():
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    found = normalize.levels(images)
    for channel in range(3):
        mean, std = normalize.IMAGENET_MEAN[channel], normalize.IMAGENET_STD[channel]
        expected = (np.arange(256.0) / 255 - mean) / std
        np.testing.assert_allclose(found[..., channel].ravel(), expected, rtol=1e-5, atol=1e-6)
