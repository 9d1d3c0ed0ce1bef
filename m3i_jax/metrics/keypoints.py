"""How near the joints of people are to where they were labelled: object keypoint similarity.

COCO (Lin et al. 2014, https://arxiv.org/abs/1405.0312, https://cocodataset.org/#keypoints-eval).
NumPy in float64; points are row and column in pixels of the image, as annotations have them.
`average_precision` makes AP and AR of it.
"""

from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Integer, Real

from m3i_jax.ranges import Range, Share

# How far annotators differ, as a share of a person's size, in the order of the annotation files.
# COCO, 17 joints: nose; eyes, ears, shoulders, elbows, wrists, hips, knees, ankles, two of each.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
# CrowdPose (Li et al. 2019, https://arxiv.org/abs/1812.00324), 14 joints: shoulders, elbows,
# wrists, hips, knees, ankles; head, neck.
CROWDPOSE_SIGMAS = (
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
    *(0.079, 0.079),
)
BOX_AREA = 0.53  # how much of its box a person fills, where nobody has outlined them

Sigmas = tuple[Annotated[float, Range(1e-4, 10)], ...]


class People(NamedTuple):
    """N labelled people, of any number of images.

    image: (N,) the image's number.  points: (N, K, 3) row, column, visibility (0 = not labelled).
      Of COCO's files they are of pixels, so ½ less than of records: to the last digits of its own
      evaluation ½ is taken off these and the poses, which matters only beside people without any.
    box: (N, 4) top, left, height, width.
    area: (N,) of the outline, in pixels²; None, or NaN of some, = `BOX_AREA` of the box, as
      CrowdPose has no outlines.
    crowd: (N,) whether it is of several people, who are then neither to be found nor wrong; None =
      nobody. Neither are those without a labelled joint.
    """

    image: Integer[np.ndarray, " people"]
    points: Float[np.ndarray, "people joints 3"]
    box: Float[np.ndarray, "people 4"]
    area: Float[np.ndarray, " people"] | None = None
    crowd: Bool[np.ndarray, " people"] | None = None


class Poses(NamedTuple):
    """M predicted people.

    image: (M,) the image's number.  points: (M, K, 2) row, column.  score: (M,), see `score`.
    """

    image: Integer[np.ndarray, " poses"]
    points: Float[np.ndarray, "poses joints 2"]
    score: Float[np.ndarray, " poses"]


def score(
    box: Real[np.ndarray, " poses"], joints: Real[np.ndarray, "poses joints"], *, least: Share = 0.2
) -> Float64[np.ndarray, " poses"]:
    """Box score x mean of the joint scores above `least`, 0 where none is: (M,), (M, K) -> (M,).

    Simple Baseline (Xiao et al. 2018, https://arxiv.org/abs/1804.06208,
    https://github.com/microsoft/human-pose-estimation.pytorch).
    """
    joints = np.asarray(joints, np.float64)
    sure = joints > least
    return np.asarray(box, np.float64) * (joints * sure).sum(1) / np.maximum(sure.sum(1), 1)


def areas(people: People) -> Float64[np.ndarray, " people"]:
    """Areas in pixels², of the outline or else `BOX_AREA` of the box."""
    of_box = np.float64(people.box[:, 2]) * people.box[:, 3] * BOX_AREA
    if people.area is None:
        return of_box
    return np.where(np.isnan(people.area), of_box, np.asarray(people.area, np.float64))


def similarity(
    points: Real[np.ndarray, "poses joints 2"], people: People, *, sigmas: Sigmas = COCO_SIGMAS
) -> Float64[np.ndarray, "poses people"]:
    """OKS of each pose with each person: (M, K, 2), N people -> (M, N), 0 to 1.

        OKS = mean over labelled joints of exp(−d² / (2 (2σ)² area))

    Of a person without a labelled joint d is how far a joint lies outside of their box, made three
    times as high and wide around its centre, and all joints count. https://cocodataset.org/#keypoints-eval
    """
    scale = 2 * np.square(2 * _sigmas(sigmas, points.shape[1]))
    labelled = people.points[:, :, 2] > 0
    box = np.float64(people.box)[:, None]  # (N, 1, 4)
    low, high = box[..., :2] - box[..., 2:], box[..., :2] + 2 * box[..., 2:]
    at = np.float64(points)[:, None]  # (M, 1, K, 2)
    outside = np.maximum(low - at, 0) + np.maximum(at - high, 0)
    some = labelled.any(1)[:, None, None]
    squared = np.square(np.where(some, at - np.float64(people.points[:, :, :2]), outside)).sum(-1)
    near = np.exp(-squared / scale / (areas(people) + np.spacing(1))[:, None])
    counted = labelled | ~labelled.any(1, keepdims=True)
    return (near * counted).sum(-1) / counted.sum(-1)


def pck(
    points: Real[np.ndarray, "people joints 2"],
    people: People,
    *,
    within: Annotated[float, Range(0, 10)] = 0.1,
) -> Float64[np.ndarray, "people joints"]:
    """Percentage of correct key points: (N, K, 2) of as many people -> (N, K), to be averaged.

    1 where a joint is no farther from its label than `within` of the longer side of the person's
    box, 0 where it is, NaN where it has no label, so that `np.nanmean` is the share (Yang & Ramanan
    2013, §7, https://doi.org/10.1109/TPAMI.2012.261). It asks for no detector, nor any areas.

    Args:
      points: the one pose that was found of each of `people`.
    """
    off = np.linalg.norm(np.float64(points) - people.points[:, :, :2], axis=-1)
    near = off <= within * np.float64(people.box[:, 2:]).max(1, keepdims=True)
    return np.where(people.points[:, :, 2] > 0, near, np.nan)


def suppressed(
    points: Real[np.ndarray, "poses joints 2"],
    scores: Real[np.ndarray, " poses"],
    area: Real[np.ndarray, " poses"],
    *,
    sigmas: Sigmas = COCO_SIGMAS,
    overlap: Share = 0.9,
) -> Int[np.ndarray, " kept"]:
    """OKS-NMS: which poses of one image are kept, the best first: (M, K, 2), (M,), (M,) -> (n,).

    Whoever is more like a better one than `overlap` goes; of equal scores the first stays. The OKS
    of two poses is over all joints and of the mean of their areas (Papandreou et al. 2017, §3.2,
    https://arxiv.org/abs/1701.01779, as in
    https://github.com/microsoft/human-pose-estimation.pytorch).

    Args:
      area: (M,) in pixels²: there of the boxes whose crops were shown, their margin included.
    """
    scale = 2 * np.square(2 * _sigmas(sigmas, points.shape[1]))
    at, area = np.float64(points), np.float64(area)
    squared = np.square(at[:, None] - at[None]).sum(-1)
    size = (area[:, None] + area[None]) / 2 + np.spacing(1)
    alike = np.exp(-squared / scale / size[..., None]).mean(-1) > overlap
    kept: list[int] = []
    for one in np.argsort(-np.float64(scores), kind="stable"):
        if not alike[one, kept].any():
            kept.append(int(one))
    return np.array(kept, int)


def _sigmas(sigmas: Sigmas, joints: int) -> Float64[np.ndarray, " joints"]:
    """As an array; as many as there are joints."""
    if len(sigmas) != joints:
        raise ValueError(
            f"{len(sigmas)} sigmas for {joints} joints: COCO has 17, CrowdPose 14, and joints of "
            "your own need sigmas of their own"
        )
    return np.float64(sigmas)
