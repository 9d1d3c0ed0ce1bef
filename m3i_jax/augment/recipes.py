"""The photometric recipe shared by SiameseIM, MoCo v3, BYOL and M3I.

Grill et al. 2020, appendix B, https://arxiv.org/abs/2006.07733; docs/methods.md#two-views.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Float32, Key, Real

from m3i_jax.augment import color
from m3i_jax.augment.blur import gaussian_blur
from m3i_jax.augment.distortion import distorted, draw_distortion
from m3i_jax.augment.erasing import random_erasing
from m3i_jax.augment.gating import ByRows, at_once, only
from m3i_jax.augment.operations import rand_augment as random_operations
from m3i_jax.ranges import Ascending, Range, Share
from m3i_jax.types import Array

Strength = Annotated[float, Range(0, 10, why="a factor is drawn from 1 − s to 1 + s")]
Turns = Annotated[float, Range(0, 0.5, why="half a turn is all of the colour wheel")]
Sigma = Annotated[float, Range(0, 100)]  # pixels
Images = Float32[Array, "batch height width 3"]
SELDOM = 0.5  # a blur that more of the samples want is cheaper for all than for those alone


def photometric(
    key: Key[Array, ""],
    images: Real[Array, "batch height width 3"],
    *,
    brightness: Strength = 0.4,
    contrast: Strength = 0.4,
    saturation: Strength = 0.2,
    hue: Turns = 0.1,
    jitter: Share = 0.8,
    grayscale: Share = 0.2,
    blur: Share = 1.0,
    sigma: Annotated[tuple[Sigma, Sigma], Ascending()] = (0.1, 2.0),
    solarize: Share = 0.0,
    exclusive: bool = False,
    erasing: Share = 0.0,
    distortion: Share = 0.0,
    rand_augment: dict | None = None,
    normalize: Callable[[Images], Images] | None = None,
    by_rows: ByRows = at_once,
) -> Images:
    """Colour jitter, then grey, blur and solarisation, each with its probability per sample.

    The defaults are SiameseIM's first view; its second, and M3I's view A, has blur 0.1 and
    solarize 0.2. A probability of 0 costs nothing, and changing one moves no other draw.

    The blur's width is in pixels of the view that is given, whatever its size (DINO, MSN): crops of
    96 pixels are blurred by as many as views of 224. Pictures of 32 pixels want less.

    Args:
      key: one key for the batch; every sample draws for itself.
      images: (B, H, W, 3) float32 in [0, 1], as is the result unless it is normalised.
      brightness, contrast, saturation, hue: strengths of the jitter, in torchvision's meaning.
      jitter, grayscale, blur, solarize: probabilities per sample (static).
      sigma: (low, high), the blur's width is uniform between them (static).
      exclusive: one of grey, blur and solarisation at most, before the jitter (DeiT III: ⅓ each).
      erasing: probability of `random_erasing`, behind all else (fine-tuning: 0.25).
      distortion: probability of `distortion`, SSD's colours, in front of the jitter.
      rand_augment: settings of `operations.rand_augment`, in front of all else; None = off.
      normalize: what becomes of the channels, in front of erasing, whose noise is N(0, 1).
      by_rows: how a mesh splits the rows, see `gating.only`.
    """
    _check_shares(exclusive, jitter=jitter, grayscale=grayscale, blur=blur, solarize=solarize)
    x = jnp.asarray(images, jnp.float32)
    if rand_augment is not None:
        x = random_operations(jax.random.fold_in(key, 7), x, by_rows=by_rows, **rand_augment)
    x = _distorted(jax.random.fold_in(key, 8), x, distortion)
    keys = jax.random.split(key, 6)
    strengths = dict(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
    jittered = partial(_jittered, *keys[:2], share=jitter, strengths=strengths)
    blurred, width = _blur(keys[3], x.shape[0], sigma)
    if exclusive:
        each = (color.grayscale, partial(blurred, width=width), color.solarize)
        x = jittered(_at_most_one(keys[2], (grayscale, blur, solarize), each, x))
    else:
        x = _sometimes(keys[2], grayscale, color.grayscale, jittered(x))
        x = _seldom(keys[4], blur, blurred, x, width, by_rows=by_rows)
        x = _sometimes(keys[5], solarize, color.solarize, x)
    x = jnp.clip(x, 0.0, 1.0)
    x = normalize(x) if normalize else x
    return random_erasing(jax.random.fold_in(key, 6), x, probability=erasing, by_rows=by_rows)


def _distorted(key: Key[Array, ""], x: Images, share: float) -> Images:
    """A share of the samples with SSD's colours."""
    if not share:
        return x
    drawn, chosen = jax.random.split(key)
    drawn = draw_distortion(drawn, x.shape[0])
    return _sometimes(chosen, share, lambda x: distorted(x, drawn), x)


def _jittered(
    key: Key[Array, ""], chosen: Key[Array, ""], x: Images, *, share: float, strengths: dict
) -> Images:
    """A share of the samples with other colours; what has no strength is not in the program."""
    if not share or not any(strengths.values()):
        return x
    drawn = color.draw_jitter(key, x.shape[0], **strengths)
    change = lambda x: color.color_jitter(x, drawn, hue=strengths["hue"] > 0)  # noqa: E731
    return _sometimes(chosen, share, change, x)


def _check_shares(exclusive: bool, **shares: float) -> None:
    """Refuses what are no probabilities."""
    for name, share in shares.items():
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"the probability of {name} is between 0 and 1, not {share}")
    total = sum(share for name, share in shares.items() if name != "jitter")
    if exclusive and total > 1.0 + 1e-6:
        raise ValueError(
            f"at most one of grayscale, blur and solarize needs probabilities that add up to 1 or "
            f"less, not to {total}"
        )


def _blur(key: Key[Array, ""], batch: int, sigma: tuple) -> tuple[Callable, Array]:
    """(images, widths) -> blurred ones, and a width for each sample."""
    if len(sigma) != 2 or not 0 <= sigma[0] <= sigma[1]:
        raise ValueError(f"the blur's sigma goes from 0 or more to as much or more, not {sigma}")
    low, high = sigma
    blurred = lambda x, width: gaussian_blur(x, width, widest=high)  # noqa: E731
    return blurred, jax.random.uniform(key, (batch,), minval=low, maxval=high)


def _at_most_one(key: Key[Array, ""], shares: tuple, stages: tuple, x: Images) -> Images:
    """For each sample fn(x) of one stage at most, of each with its share."""
    lot, low, y = jax.random.uniform(key, (x.shape[0], 1, 1, 1)), 0.0, x
    for share, fn in zip(shares, stages, strict=True):
        if share:
            y = jnp.where((lot >= low) & (lot < low + share), fn(x), y)
        low += share
    return y


def _sometimes(key: Key[Array, ""], probability: float, fn: Callable, x: Images) -> Images:
    """fn(x) for a random share of the samples; probabilities 0 and 1 are decided statically."""
    if probability == 0.0:
        return x
    if probability == 1.0:
        return fn(x)
    chosen = jax.random.bernoulli(key, probability, (x.shape[0],))
    return jnp.where(chosen[:, None, None, None], fn(x), x)


def _seldom(
    key: Key[Array, ""], probability: float, fn: Callable, x: Images, *arguments, by_rows: ByRows
) -> Images:
    """As `_sometimes`, of fn(x, *arguments) that is dear: few samples do not make all pay."""
    if not 0.0 < probability <= SELDOM:
        return _sometimes(key, probability, lambda x: fn(x, *arguments), x)
    chosen = jax.random.bernoulli(key, probability, (x.shape[0],))
    return only(chosen, fn, x, *arguments, by_rows=by_rows)
