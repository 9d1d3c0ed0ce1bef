"""Geometry: where views were cut, patches of them, how positions are coded, maps behind blocks.

And what is said of an image that was looked at in windows, mirrored, or at several sizes.
"""

from m3i_jax.geometry.averaging import averaged, mirror
from m3i_jax.geometry.boxes import Relation, relation, target_tokens
from m3i_jax.geometry.maps import mapped, numbered
from m3i_jax.geometry.patches import patchify, unpatchify
from m3i_jax.geometry.positions import relative_sincos, sincos, sincos_at
from m3i_jax.geometry.resize import adaptive_mean, bilinear
from m3i_jax.geometry.sliding import squares, windows
from m3i_jax.geometry.waves import grid_waves, waves

__all__ = [
    "Relation",
    "adaptive_mean",
    "averaged",
    "bilinear",
    "grid_waves",
    "mapped",
    "mirror",
    "numbered",
    "patchify",
    "relation",
    "relative_sincos",
    "sincos",
    "sincos_at",
    "squares",
    "target_tokens",
    "unpatchify",
    "waves",
    "windows",
]
