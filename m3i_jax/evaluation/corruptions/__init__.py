"""The common corruptions of ImageNet-C that need no files: (generator, image, *strength) -> image.

Hendrycks & Dietterich 2019, https://arxiv.org/abs/1903.12261; docs/methods.md#corruptions. Images
are (H, W, 3) float64 in [0, 1]. "frost" is left out, as it needs photographs of ice.
"""

import zlib
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int, UInt8

from m3i_jax.evaluation.corruptions import blur, digital, noise, weather
from m3i_jax.evaluation.corruptions.strengths import SEVERITIES, TABLES, chosen

Image = Float[np.ndarray, "height width 3"]
CORRUPTIONS: dict[str, Callable[..., Image]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "fog": weather.fog,
    "brightness": digital.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "saturate": digital.saturate,
    "spatter": weather.spatter,
}
EXTRA = (
    "speckle_noise",
    "gaussian_blur",
    "saturate",
    "spatter",
)  # for validation, in no mean of the paper
STANDARD = tuple(name for name in CORRUPTIONS if name not in EXTRA)

__all__ = ["CORRUPTIONS", "EXTRA", "SEVERITIES", "STANDARD", "TABLES", "chosen", "corrupted"]


def corrupted(
    images: UInt8[np.ndarray, "batch height width 3"],
    numbers: Int[np.ndarray, " batch"],
    *,
    name: str,
    severity: int,
    table: str = "imagenet",
    seed: int = 0,
) -> UInt8[np.ndarray, "batch height width 3"]:
    """Images under one corruption; each is a function of (seed, name, severity, its number) alone.

    Args:
      images, numbers: and which records of the data set they are.
      name: of `CORRUPTIONS`.
      severity: 1 to 5.
      table: of strengths, see `strengths`.
      seed: of what is drawn.
    """
    strength = TABLES[table][name][severity - 1]
    changed = []
    for image, number in zip(images, numbers, strict=True):
        rng = np.random.default_rng((seed, zlib.crc32(name.encode()), severity, int(number)))
        x = CORRUPTIONS[name](rng, np.asarray(image, np.float64) / 255.0, *strength)
        changed.append(np.rint(255.0 * np.clip(x, 0.0, 1.0)).astype(np.uint8))
    return np.stack(changed)
