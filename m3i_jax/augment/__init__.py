"""Augmentation on the device: colour, blur, solarisation, RandAugment, erasing, one strength per
sample.

Images are (B, H, W, 3) float32 in [0, 1], in and out, but for erasing, which is of normalised ones.
Crops and flips belong to the host, which records where they were cut.
"""

from m3i_jax.augment.blur import gaussian_blur
from m3i_jax.augment.color import Jitter, color_jitter, draw_jitter, grayscale, solarize
from m3i_jax.augment.distortion import Distortion, distorted, draw_distortion
from m3i_jax.augment.erasing import random_erasing
from m3i_jax.augment.operations import rand_augment
from m3i_jax.augment.recipes import photometric
from m3i_jax.augment.resize import resized, views_of

__all__ = [
    "Distortion",
    "Jitter",
    "color_jitter",
    "distorted",
    "draw_distortion",
    "draw_jitter",
    "gaussian_blur",
    "grayscale",
    "photometric",
    "rand_augment",
    "resized",
    "random_erasing",
    "solarize",
    "views_of",
]
