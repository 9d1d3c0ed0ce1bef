"""Encoders without parameters: codes that are computed of the image itself, pixels and edges."""

import math
from collections.abc import Callable
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Float

from m3i_jax import geometry, histograms, normalize
from m3i_jax.build import ConfigError
from m3i_jax.framework.codes import Encoder
from m3i_jax.ranges import Range
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features

Images = Float[Array, "batch height width channels"]
PIXELS: dict[str, Callable[[Images, int], Images]] = {
    "raw": lambda images, patch: images,
    "patch": normalize.patches,
    "window": lambda images, patch: normalize.sliding_window(images),
    "window47": lambda images, patch: normalize.sliding_window(images, 47, per_channel=True),
}


PixelStatistics = Annotated[str, OneOf(*PIXELS)]


def pixels(tower: str = "image", *, normalization: PixelStatistics = "patch") -> Encoder:
    """The image itself, cut into the tower's patches: (B, h·w, p·p·3), no parameters.

    tower: whose patches.
    normalization: "raw", "patch" (MAE: by each patch's own mean and variance), "window" (CIM: by
    the 8x8 window around each pixel) or "window47" (SwinV2: 47x47, each channel by itself); see
    docs/methods.md#pixel-targets.
    """
    if normalization not in PIXELS:
        kinds = ", ".join(sorted(PIXELS))
        raise ValueError(f"pixels are normalized by one of {kinds}, not '{normalization}'")

    def apply(inputs):
        # A target is in float32 whatever the network computes in: of a patch of nearly one colour,
        # what is divided by its deviation is the last digits.
        patch = inputs.network.towers[tower].patch
        images = PIXELS[normalization](inputs.view.data.astype(jnp.float32), patch)
        # (B, H, W, 3) -> (B, h·w, p·p·3)
        return Features(tokens=jax.lax.stop_gradient(geometry.patchify(images, patch))), {}

    def width(nodes):
        if not nodes[tower].patch:
            raise ConfigError(f"pixels are those of the patches of a tower, but '{tower}' has none")
        return 3 * nodes[tower].patch ** 2

    what = dict(represents="pixels", normalization=normalization)
    return Encoder(f"pixels/{normalization}", tower, apply, width, stop_gradient=True, **what)


def hog(tower: str = "image", *, cell: Annotated[int, Range(1, 256)] = 8) -> Encoder:
    """Histograms of oriented gradients of the tower's patches: no parameters.

    MaskFeat (Wei et al. 2022, https://arxiv.org/abs/2112.09133); docs/methods.md#maskfeat.

    tower: whose patches.  cell: side of a cell in pixels; a patch has whole ones.
    """

    def apply(inputs):
        images = inputs.view.data.astype(jnp.float32)
        tokens = histograms.hog(images, patch=inputs.network.towers[tower].patch, cell=cell)
        return Features(tokens=jax.lax.stop_gradient(tokens)), {}

    def width(nodes):
        patch = nodes[tower].patch
        if not patch or patch % cell:
            raise ConfigError(
                f"histograms are of cells of {cell} pixels, of which the patches of tower "
                f"'{tower}', {patch or 'none'}, are not made"
                + (f"; set config.target.cell={math.gcd(cell, patch)}" if patch else "")
            )
        return 3 * histograms.BINS * (patch // cell) ** 2

    return Encoder("hog", tower, apply, width, stop_gradient=True, represents="edges")
