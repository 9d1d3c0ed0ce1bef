"""How far predicted depths are off, image by image, as indoor and driving benchmarks measure it.

Each image is measured by itself (`of_image`, sizes may differ) on the pixels that have a depth in
the range and lie within the benchmark's crop, and a set is the mean of its images (`mean`); NumPy
in float64. As MIM-Depth has it (Xie et al. 2023, https://arxiv.org/abs/2205.13543,
https://github.com/SwinTransformer/MIM-Depth-Estimation).
"""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real

from m3i_jax.ranges import Range
from m3i_jax.types import Array

Depth = Annotated[float, Range(1e-6, 1e6, why="logarithms are taken of it")]  # in metres
# Shares of height and width at which a crop begins and ends: rows, then columns.
GARG = ((0.40810811, 0.99189189), (0.03594771, 0.96405229))
EIGEN = ((0.3324324, 0.91351351), (0.03594771, 0.96405229))
NYU = (slice(45, 471), slice(41, 601))  # of 480 x 640


class DepthScores(NamedTuple):
    """Errors of an image, or the mean of many, with d = ln prediction − ln depth.

    delta1, delta2, delta3: share of pixels with max(p/g, g/p) < 1.25, 1.25², 1.25³.
    abs_rel: mean |p − g|/g.  sq_rel: mean (p − g)²/g, in metres.
    rmse: √mean (p − g)², in metres.  rmse_log: √mean d².  log10: mean |log₁₀ p − log₁₀ g|.
    silog: √(mean d² − ½ (mean d)²).
    """

    delta1: float
    delta2: float
    delta3: float
    abs_rel: float
    sq_rel: float
    rmse: float
    rmse_log: float
    log10: float
    silog: float


def garg(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an image of KITTI that count.

    Garg et al. 2016, https://arxiv.org/abs/1603.04992, as shares of the image.
    """
    return _cut(GARG, height, width)


def eigen(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an image of KITTI that count.

    Eigen et al. 2014, https://arxiv.org/abs/1406.2283, as shares of the image.
    """
    return _cut(EIGEN, height, width)


def nyu(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of an image of NYU Depth v2, 480 x 640, that count: without its white frame.

    Eigen et al. 2014, https://arxiv.org/abs/1406.2283.

    Raises:
      ValueError: an image of another size.
    """
    if (height, width) != (480, 640):
        raise ValueError(f"an image is {height} x {width}; the crop of NYU is of 480 x 640 pixels")
    return NYU


def counted(
    depth: Real[np.ndarray, "height width"],
    *,
    minimum: Depth = 1e-3,
    maximum: Depth = 10.0,
    crop: tuple[slice, slice] | None = None,
) -> Bool[np.ndarray, "height width"]:
    """Which pixels count: minimum < depth < maximum, and inside the crop."""
    valid = (depth > minimum) & (depth < maximum)
    if crop is None:
        return valid
    inside = np.zeros_like(valid)
    inside[crop] = valid[crop]
    return inside


def of_image(
    prediction: Float[Array, "height width"],
    depth: Real[Array, "height width"],
    *,
    minimum: Depth = 1e-3,
    maximum: Depth = 10.0,
    crop: tuple[slice, slice] | None = None,
) -> DepthScores | None:
    """Errors over the pixels of one image that count; None where there is none.

    Eigen et al. 2014, §3.2 and §4.2, https://arxiv.org/abs/1406.2283.

    Args:
      prediction: (H, W) in metres; what is beyond the range is moved to its ends first.
      depth: (H, W) in metres, 0 = not measured.
      minimum, maximum: of the benchmark, in metres: 1e-3 and 10 indoors (NYU), 80 driving (KITTI).
      crop: rows and columns that count, such as `garg(height, width)`; None = all.

    Raises:
      ValueError: a prediction that is NaN where it counts.
    """
    prediction, depth = (np.asarray(x, np.float64) for x in (prediction, depth))
    valid = counted(depth, minimum=minimum, maximum=maximum, crop=crop)
    if not valid.any():
        return None
    p, g = np.clip(prediction[valid], minimum, maximum), depth[valid]
    if np.isnan(p).any():
        raise ValueError(f"{np.isnan(p).sum()} of {p.size} predicted depths are NaN")
    ratio, error = np.maximum(p / g, g / p), p - g
    logs = np.log(p) - np.log(g)
    square = np.square(logs).mean()
    return DepthScores(
        *(float((ratio < 1.25**k).mean()) for k in (1, 2, 3)),
        abs_rel=float((abs(error) / g).mean()),
        sq_rel=float((error**2 / g).mean()),
        rmse=float(np.sqrt((error**2).mean())),
        rmse_log=float(np.sqrt(square)),
        log10=float(abs(logs).mean() / np.log(10)),
        silog=float(np.sqrt(max(square - 0.5 * logs.mean() ** 2, 0.0))),
    )


def mean(images: Iterable[DepthScores | None]) -> DepthScores:
    """The mean over images; those without a pixel that counts (None) are left out.

    Raises:
      ValueError: none has one.
    """
    rows = [image for image in images if image is not None]
    if not rows:
        raise ValueError("no image has a depth within the range and the crop, so none is scored")
    return DepthScores(*np.mean(rows, axis=0).tolist())


def _cut(
    shares: tuple[tuple[float, float], tuple[float, float]], height: int, width: int
) -> tuple[slice, slice]:
    """Rows and columns at shares of an image, rounded down."""
    return tuple(
        slice(*(int(share * side) for share in ends))
        for ends, side in zip(shares, (height, width), strict=True)
    )
