"""CutDepth: a part of an image that shows depth instead of colours.

Ishii and Yamashita 2021, https://arxiv.org/abs/2107.07684; the vertical strip is GLPDepth's,
Kim et al. 2022, https://arxiv.org/abs/2201.07436, https://github.com/vinvino02/GLPDepth.
"""

import numpy as np

from m3i_jax.types import Array

WIDEST = 0.75  # of what is right of where the strip begins


def cut_depth(image: Array, depth: Array, rng: np.random.Generator) -> Array:
    """A copy of an image, a strip of which is of depth, from the upper edge to the lower.

        left = ⌊α W⌋,  width = max(¾ β (1 − α) W, 1),  α, β ~ U(0, 1)

    Args:
      image: (H, W, 3) uint8.
      depth: (H, W) float32; a unit of it is a grey level, as in the published code.
    """
    alpha, beta = rng.random(2)
    wide = image.shape[1]
    left, width = int(alpha * wide), int(max(WIDEST * beta * (1 - alpha) * wide, 1))
    levels = np.nan_to_num(depth[:, left : left + width], nan=0, posinf=0, neginf=0).clip(0, 255)
    image = image.copy()
    image[:, left : left + width] = levels.astype(np.uint8)[..., None]
    return image
