"""How deep digit scenes are, and where their key points are: known, as they are composed in layers.

A camera whose focal length is the height of a scene looks at a digit of `TALL` metres that stands
upright, in front of a ground that falls away towards the top. In row r of n, r from the middle of
the first pixel on, u = r / n,

    digit   z = TALL n / t              t: the height of its square, in pixels
    ground  1 / z = ((1 − u) / FAR + u / NEAR) level / 2.5

so a plane, whose 1 / z is linear, that is nearer where the photograph is enlarged (its `level`).
The nearest ground is farther away than the smallest digit.
"""

import numpy as np

from m3i_jax.types import Array

TALL = 0.15  # metres
NEAR, FAR = 5.0, 10.0  # metres, of the ground at the lower and at the upper edge
LEVEL = 2.5  # of `scene_materials.LEVELS`, at which these hold


def depth(digit: Array, tall: float, level: float) -> Array:
    """(n, n) float32 metres.

    Args:
      digit: (n, n) bool, the pixels that show the digit.
      tall: height of its square in pixels.
      level: short side of the whole photograph, in scenes.
    """
    n = len(digit)
    u = (np.arange(n) + 0.5) / n
    ground = LEVEL / level / ((1 - u) / FAR + u / NEAR)
    return np.where(digit, TALL * n / tall, ground[:, None]).astype(np.float32)


def points(digit: Array) -> Array:
    """(5, 3) float32 row, column and visibility 2 of `skeletons.STROKES`.

    The middles of the uppermost and lowest pixels, in the mean of their columns; of the leftmost
    and rightmost ones, in the mean of their rows; and the mean of all.
    """
    rows, columns = np.nonzero(digit)
    ends = [rows == rows.min(), rows == rows.max(), columns == columns.min()]
    ends += [columns == columns.max(), np.ones(len(rows), bool)]
    places = [[rows[end].mean() + 0.5, columns[end].mean() + 0.5, 2] for end in ends]
    return np.array(places, np.float32)
