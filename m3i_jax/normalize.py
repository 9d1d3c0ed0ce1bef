"""Normalisations without parameters: pixel targets, LN0, unit vectors, channel statistics.

All compute in and return float32; gradients are finite where the variance or norm is 0.
"""

import functools
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Real

from m3i_jax.build import ConfigError, nearest
from m3i_jax.ranges import Range
from m3i_jax.types import Array

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# (mean, std) of the channels that published weights expect; "inception" is to [−1, 1].
CHANNELS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
Mean = Annotated[float, Range(-10, 10)]  # of pixels from 0 to 1
LEAST = 1e-4  # a deviation of 0.1 in levels of 255 is 4e-4 in those of 1
Deviation = Annotated[float, Range(LEAST, 10, why="pixels are divided by it")]
Normalization = str | tuple[tuple[Mean, Mean, Mean], tuple[Deviation, Deviation, Deviation]]


def channels(
    images: Real[Array, "*positions channels"],
    *,
    mean: tuple = IMAGENET_MEAN,
    std: tuple = IMAGENET_STD,
) -> Float32[Array, "*positions channels"]:
    """(x − mean)/std per channel: (..., C) in [0, 1] -> (..., C) float32."""
    mean, std = _per_channel(images, mean), _per_channel(images, std)
    return (jnp.asarray(images, jnp.float32) - mean) / std


def levels(
    images: Real[Array, "*positions channels"],
) -> Float32[Array, "*positions channels"]:
    """Images of 0 … 255 as encoders are given them: (x/255 − mean)/std of ImageNet per channel."""
    return channels(jnp.asarray(images).astype(jnp.float32) / 255.0)


def undo_channels(
    images: Float[Array, "*positions channels"],
    *,
    mean: tuple = IMAGENET_MEAN,
    std: tuple = IMAGENET_STD,
) -> Float32[Array, "*positions channels"]:
    """x·std + mean per channel, the inverse of `channels`."""
    mean, std = _per_channel(images, mean), _per_channel(images, std)
    return jnp.asarray(images, jnp.float32) * std + mean


def statistics(normalization: Normalization) -> tuple[tuple, tuple]:
    """(mean, std) of a name in `CHANNELS`, or of such a pair itself.

    Raises:
      ConfigError: another name, or no two times three numbers that are `usable`.
    """
    if isinstance(normalization, str):
        if normalization not in CHANNELS:
            raise ConfigError(
                f"the encoder has no normalization '{normalization}'"
                f"{nearest(normalization, CHANNELS)}"
            )
        return CHANNELS[normalization]
    try:
        mean, std = (tuple(float(x) for x in row) for row in normalization)
    except (TypeError, ValueError):
        mean = std = ()
    if not usable(mean, std):
        raise ConfigError(
            f"the encoder has normalization {normalization!r}, expected one of "
            f"{', '.join(CHANNELS)}, or ((r, g, b), (r, g, b)), means of up to 10 and "
            f"deviations of {LEAST:g} to 10"
        )
    return mean, std


def usable(mean: tuple, std: tuple) -> bool:
    """Whether they are three numbers each, of which float32 makes something of pixels in [0, 1]."""
    sound = len(mean) == len(std) == 3 and np.isfinite(mean + std).all()
    return bool(sound and max(map(abs, mean)) <= 10 and LEAST <= min(std) and max(std) <= 10)


def renormalize(
    images: Float[Array, "*positions 3"], normalization: Normalization
) -> Float[Array, "*positions 3"]:
    """Images normalised as ImageNet's -> as `statistics` says; (..., 3) float32."""
    if normalization == "imagenet":
        return images
    mean, std = statistics(normalization)
    return channels(undo_channels(images), mean=mean, std=std)


def layer(
    x: Float[Array, "*positions dim"], *, eps: float = 1e-5
) -> Float32[Array, "*positions dim"]:
    """LN0: layer norm without affine over the last axis; (..., D) -> (..., D) float32.

    Ba et al. 2016, Eq. 3, https://arxiv.org/abs/1607.06450.
    """
    x = jnp.asarray(x, jnp.float32)
    # Powers of two cost no digit, and squares of what is large would be infinite.
    power = jnp.maximum(magnitude(x), 1.0)
    x = x / power
    centred = x - x.mean(-1, keepdims=True)
    # The variance of what is already centred: E[x²] − E[x]² loses all digits at a large mean.
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + eps / jnp.square(power))


def unit(
    x: Float[Array, "*positions dim"], *, eps: float = 1e-6
) -> Float32[Array, "*positions dim"]:
    """x / ‖x‖₂ over the last axis, of any length; (..., D) -> (..., D) float32, 0 stays 0.

    The gradient is that of a vector at least eps long: (I − uuᵀ)/max(‖x‖₂, eps), so I/eps at 0.
    """
    return _unit(jnp.asarray(x, jnp.float32), eps)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _unit(x: Float32[Array, "*positions dim"], eps: float) -> Float32[Array, "*positions dim"]:
    return _direction(x)[0]


@_unit.defjvp
def _unit_derivative(eps: float, primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    u, length = _direction(x)
    return u, (dx - u * (u * dx).sum(-1, keepdims=True)) / jnp.maximum(length, eps)


def _direction(
    x: Float32[Array, "*positions dim"],
) -> tuple[Float32[Array, "*positions dim"], Float32[Array, "*positions 1"]]:
    """u = x/‖x‖₂, 0 for 0, and ‖x‖₂ (..., 1); squares of x itself would leave float32's range."""
    power = magnitude(x)
    x = x / power
    square = jnp.square(x).sum(-1, keepdims=True)
    scale = jax.lax.rsqrt(jnp.where(square > 0, square, 1.0))
    return x * scale, power * square * scale


def magnitude(
    x: Float[Array, "*shape"], *, axis: int | tuple[int, ...] | None = -1
) -> Float32[Array, "*#shape"]:
    """The largest power of two that is not above max|x|, dims kept; without gradient.

    Division by it costs no digit, and what is left has squares and products. Between 2^−126 and
    2^126, so that it and its inverse are normal float32 numbers; 1 where all is 0.
    """
    largest = jnp.abs(jax.lax.stop_gradient(x)).max(axis, keepdims=True)
    bits = jax.lax.bitcast_convert_type(jnp.asarray(largest, jnp.float32), jnp.int32)
    power = jax.lax.bitcast_convert_type(bits & 0x7F800000, jnp.float32)
    return jnp.where(largest > 0, jnp.clip(power, 2.0**-126, 2.0**126), 1.0)


def patches(
    images: Real[Array, "batch height width channels"], patch: int, *, eps: float = 1e-6
) -> Float32[Array, "batch height width channels"]:
    """MAE's target: each p x p patch by its own mean and unbiased variance over all p·p·C values.

    t = (x − μ)/√(var + eps); (B, H, W, C) -> (B, H, W, C) float32. He et al. 2022, §3,
    https://arxiv.org/abs/2111.06377; the variance is that of their code (docs/methods.md#mae).
    """
    power, _, centred, variance = _patches(images, patch)
    least = eps / jnp.square(power)[..., None, None]
    return (centred * jax.lax.rsqrt(variance + least)).reshape(images.shape)


def patch_statistics(
    images: Real[Array, "batch height width channels"], patch: int, *, eps: float = 1e-6
) -> tuple[
    Float32[Array, "batch height width channels"], Float32[Array, "batch height width channels"]
]:
    """Mean and deviation √(var + eps) that `patches` uses, so that t·deviation + mean is the image.

    (B, H, W, C) -> two (B, H, W, C) float32.
    """
    power, mean, centred, variance = _patches(images, patch)
    spread = lambda x: power * jnp.broadcast_to(x, centred.shape).reshape(images.shape)  # noqa: E731
    least = eps / jnp.square(power)[..., None, None]
    return spread(mean), spread(jnp.sqrt(variance + least))


def sliding_window(
    images: Real[Array, "batch height width channels"],
    window: int = 8,
    *,
    per_channel: bool = False,
    eps: float = 1e-6,
) -> Float32[Array, "batch height width channels"]:
    """Each pixel by the statistics of the window around it: the target of CIM's ResPix.

        t = (x − μ)/√(var + eps),   var unbiased: Σ(x − μ)²/(n − 1)

    The window of pixel i covers i − window//2 … i + (window−1)//2, so rows i−4…i+3 for 8, cut at
    the border: n is the true count. Channels are taken together unless `per_channel` (SimMIM for
    SwinV2: odd window 47). Fang et al. 2022, §2 and Table 6, https://arxiv.org/abs/2202.03382; what
    it leaves open is in docs/methods.md#pixel-targets.

    (B, H, W, C) -> (B, H, W, C) float32.
    """
    power, _, x, mean, variance = _windows(images, window, per_channel)
    return (x - mean) * jax.lax.rsqrt(variance + eps / jnp.square(power))


def window_statistics(
    images: Real[Array, "batch height width channels"],
    *,
    window: int = 8,
    per_channel: bool = False,
    eps: float = 1e-6,
) -> tuple[
    Float32[Array, "batch height width #channels"], Float32[Array, "batch height width #channels"]
]:
    """Mean and deviation √(var + eps) that `sliding_window` uses: t·deviation + mean is the image.

    (B, H, W, C) -> two (B, H, W, C), or (B, H, W, 1) unless `per_channel`; float32.
    """
    power, level, _, mean, variance = _windows(images, window, per_channel)
    return power * (level + mean), power * jnp.sqrt(variance + eps / jnp.square(power))


def _patches(
    images: Real[Array, "batch height width channels"], patch: int
) -> tuple[
    Float32[Array, "batch 1 1 1"],
    Float32[Array, "batch rows 1 columns 1 1"],
    Float32[Array, "batch rows {patch} columns {patch} channels"],
    Float32[Array, "batch rows 1 columns 1 1"],
]:
    """Power p of two, and of patches of images/p mean, centred (B, h, p, w, p, C) and variance."""
    b, height, width, c = images.shape
    if height % patch or width % patch:
        raise ValueError(f"images of {height}x{width} pixels do not divide into patches of {patch}")
    x, power = _tamed(images)
    x = x.reshape(b, height // patch, patch, width // patch, patch, c)
    mean = x.mean((2, 4, 5), keepdims=True)
    centred = x - mean
    n = patch * patch * c
    variance = jnp.square(centred).sum((2, 4, 5), keepdims=True) / max(n - 1, 1)
    return power, mean, centred, variance


def _windows(
    images: Real[Array, "batch height width channels"], window: int, per_channel: bool
) -> tuple[
    Float32[Array, "batch 1 1 1"],
    Float32[Array, "batch 1 1 #channels"],
    Float32[Array, "batch height width channels"],
    Float32[Array, "batch height width #channels"],
    Float32[Array, "batch height width #channels"],
]:
    """Power p of two, and of images/p: level, what is above, mean (above) and variance of windows.

    The level is of each image; the variance is the unbiased one.
    """
    x, power = _tamed(images)
    # What all windows share says nothing about any, and costs digits.
    level = x.mean((1, 2) if per_channel else (1, 2, 3), keepdims=True)
    x = x - level
    pixel = () if per_channel else (3,)
    mean, variance = x.mean(pixel, keepdims=True), x.var(pixel, keepdims=True)
    n = 1 if per_channel else x.shape[-1]
    for axis in (1, 2):
        mean, variance, count = _along(mean, variance, window, axis)
        n = n * count
    return power, level, x, mean, variance * (n / np.maximum(n - 1, 1))


def _tamed(
    images: Real[Array, "batch height width channels"],
) -> tuple[Float32[Array, "batch height width channels"], Float32[Array, "batch 1 1 1"]]:
    """Images over powers of two, float32, and those (B, 1, 1, 1): 1 for what is below 2."""
    x = jnp.asarray(images, jnp.float32)
    power = jnp.maximum(magnitude(x, axis=(1, 2, 3)), 1.0)
    return x / power, power


def _per_channel(
    images: Real[Array, "*positions channels"], values: tuple
) -> Float32[np.ndarray, "*#positions #channels"]:
    """Values of the channels, shaped to meet (..., C)."""
    return np.asarray(values, np.float32).reshape((1,) * (images.ndim - 1) + (-1,))


class _Moments(NamedTuple):
    """Statistics of windows along one axis; `count` holds their lengths, 0 outside the image."""

    mean: Float32[Array, "batch _height _width channels"]
    variance: Float32[Array, "batch _height _width channels"]
    count: Float[np.ndarray, " windows"]

    def cut(self, start: int, end: int, axis: int) -> "_Moments":
        """The windows from `start` to `end`."""
        mean, variance = (
            jax.lax.slice_in_dim(x, start, end, axis=axis) for x in (self.mean, self.variance)
        )
        return _Moments(mean, variance, self.count[start:end])


def _join(a: _Moments, b: _Moments, axis: int) -> _Moments:
    """Statistics of disjoint windows taken together, V = αV_a + βV_b + αβ(μ_a − μ_b)².

    α and β are their shares. Unlike E[x²] − E[x]², this cancels nothing, which float32 could not
    afford: one grey level of texture has a variance of 1e-5, next to squared means of 0.1.
    """
    count = a.count + b.count
    shape = [-1 if i == axis else 1 for i in range(a.mean.ndim)]
    alpha, beta = (
        (part.count / np.maximum(count, 1)).astype(np.float32).reshape(shape) for part in (a, b)
    )
    mean = alpha * a.mean + beta * b.mean
    between = (alpha * beta) * jnp.square(a.mean - b.mean)
    return _Moments(mean, alpha * a.variance + beta * b.variance + between, count)


def _along(
    mean: Float32[Array, "batch height width channels"],
    variance: Float32[Array, "batch height width channels"],
    window: int,
    axis: int,
) -> tuple[
    Float32[Array, "batch height width channels"],
    Float32[Array, "batch height width channels"],
    Float32[np.ndarray, "1 #height #width 1"],
]:
    """Mean, variance and count of windows along one axis, of means and variances of their parts.

    Windows of 1, 2, 4, … neighbours are made by doubling, and those of the binary digits of
    `window` joined: log₂(window) shifted passes rather than `window`.
    """
    length = mean.shape[axis]
    ends = (window // 2, (window - 1) // 2)
    padding = [ends if i == axis else (0, 0) for i in range(mean.ndim)]
    power = _Moments(
        jnp.pad(mean, padding), jnp.pad(variance, padding), np.pad(np.ones(length), ends)
    )
    total, start, width = None, 0, 1
    while width <= window:
        if window & width:
            piece = power.cut(start, start + length, axis)
            total = piece if total is None else _join(total, piece, axis)
            start += width
        if 2 * width <= window:
            end = len(power.count)
            power = _join(power.cut(0, end - width, axis), power.cut(width, end, axis), axis)
        width *= 2
    shape = [-1 if i == axis else 1 for i in range(mean.ndim)]
    return total.mean, total.variance, total.count.astype(np.float32).reshape(shape)
