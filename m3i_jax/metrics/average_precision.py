"""Average precision and recall of poses, by faster-coco-eval (`pip install 'm3i_jax[dense]'`).

COCO's key point evaluation (https://cocodataset.org/#keypoints-eval): poses are matched to people,
the surest first, at each threshold .5, .55, …, .95 of `keypoints.similarity`; AP is the mean over
these of the precision at recalls 0, .01, …, 1, AR of the highest recall. Twenty poses of an image
count, its surest. https://github.com/MiXaiLL76/faster_coco_eval
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Integer

from m3i_jax.build import ConfigError
from m3i_jax.metrics.keypoints import COCO_SIGMAS, CROWDPOSE_SIGMAS, People, Poses, Sigmas, areas
from m3i_jax.ranges import Share

PERSON = 1


class PoseScores(NamedTuple):
    """Shares from 0 to 1, NaN where there is nobody to be found.

    ap, ar: over ten thresholds of OKS.  ap50, ap75, ar50, ar75: at .5 and .75.
    ap_medium, ar_medium: of people of 32² to 96² pixels.  ap_large, ar_large: of larger ones.
    """

    ap: float
    ap50: float
    ap75: float
    ap_medium: float
    ap_large: float
    ar: float
    ar50: float
    ar75: float
    ar_medium: float
    ar_large: float


class CrowdedScores(NamedTuple):
    """AP of images in which people overlap little (easy), more (medium), most (hard)."""

    easy: float
    medium: float
    hard: float


def of_poses(
    people: People,
    poses: Poses,
    images: Integer[np.ndarray, " images"],
    *,
    sigmas: Sigmas = COCO_SIGMAS,
) -> PoseScores:
    """AP and AR of poses over a set of images.

    Args:
      people: who is there.  poses: who was found.
      images: the numbers of all images of the set, also of those without people.
      sigmas: of the joints.

    Raises:
      ConfigError: faster-coco-eval is not installed.
      ValueError: people or poses of other images; numbers that are not finite; joints without a
        sigma.
    """
    library = _library()
    _check(people, poses, images, sigmas)
    held = {"images": [{"id": int(i)} for i in images], "categories": [{"id": PERSON}]}
    truth = library.COCO({**held, "annotations": _truth(people)})
    found = library.COCO({**held, "annotations": _found(poses)})
    evaluator = library.COCOeval_faster(
        truth, found, iouType="keypoints", kpt_oks_sigmas=np.float64(sigmas)
    )
    evaluator.params.catIds = [PERSON]  # also where nobody is there
    evaluator.run()
    return PoseScores(*(float("nan") if x < 0 else float(x) for x in evaluator.stats))


def by_crowding(
    people: People,
    poses: Poses,
    images: Integer[np.ndarray, " images"],
    crowding: Float[np.ndarray, " images"],
    *,
    sigmas: Sigmas = CROWDPOSE_SIGMAS,
    levels: tuple[Share, Share] = (0.2, 0.8),
) -> CrowdedScores:
    """AP at three levels of crowding, of CrowdPose (Li et al. 2019, https://arxiv.org/abs/1812.00324).

    Args:
      people, poses, images: as of `of_poses`.
      crowding: (images,) the `crowdIndex` of each image, 0 to 1.
      levels: where medium and hard begin. The paper says .1 and .8, and its evaluator has .2.

    Raises:
      As `of_poses`.
    """
    _check(people, poses, images, sigmas)
    low, high = levels
    parts = crowding < low, (crowding >= low) & (crowding < high), crowding >= high
    return CrowdedScores(*(_of(people, poses, images[part], sigmas).ap for part in parts))


def _of(
    people: People, poses: Poses, images: Integer[np.ndarray, " images"], sigmas: Sigmas
) -> PoseScores:
    """Scores over some of the images."""
    one, two = np.isin(people.image, images), np.isin(poses.image, images)
    people = People(*(None if x is None else x[one] for x in people))
    return of_poses(people, Poses(*(x[two] for x in poses)), images, sigmas=sigmas)


def _library() -> Any:
    """faster_coco_eval, which is asked for where it is used."""
    try:
        import faster_coco_eval
    except ImportError as error:
        raise ConfigError(
            "AP of key points needs faster-coco-eval: pip install 'm3i_jax[dense]'"
        ) from error
    return faster_coco_eval


def _check(
    people: People, poses: Poses, images: Integer[np.ndarray, " images"], sigmas: Sigmas
) -> None:
    """Refuses what would be left out, or compared, in silence."""
    if len(np.unique(images)) != len(images):
        raise ValueError("an image is named twice")
    known = people._replace(area=areas(people))
    for name, part in (("people", known), ("poses", poses)):
        strange = np.setdiff1d(part.image, images)
        if strange.size:
            raise ValueError(
                f"{name} are of {strange.size} images that are not of the set, such as {strange[0]}"
            )
        for field, values in zip(part._fields, part, strict=True):
            if values is not None and not np.isfinite(values).all():
                raise ValueError(f"{field} of {name} has numbers that are not finite")
        if part.points.shape[1] != len(sigmas):
            joints = part.points.shape[1]
            raise ValueError(f"{name} have {joints} joints, and there are {len(sigmas)} sigmas")


def _truth(people: People) -> list[dict[str, Any]]:
    """People as annotations of COCO; numbers from 1, as 0 is nobody there."""
    crowd = np.zeros(len(people.image), bool) if people.crowd is None else people.crowd
    return [
        {
            "id": number,
            "image_id": int(image),
            "category_id": PERSON,
            "keypoints": _across(points),
            "num_keypoints": int((points[:, 2] > 0).sum()),
            "bbox": [float(box[i]) for i in (1, 0, 3, 2)],  # left, top, width, height
            "area": float(area),
            "iscrowd": int(many),
        }
        for number, (image, points, box, area, many) in enumerate(
            zip(people.image, people.points, people.box, areas(people), crowd, strict=True), 1
        )
    ]


def _found(poses: Poses) -> list[dict[str, Any]]:
    """Poses as results of COCO, whose area is that of the box around the joints."""
    rows = zip(poses.image, poses.points, poses.score, strict=True)
    return [
        {
            "id": number,
            "image_id": int(image),
            "category_id": PERSON,
            "keypoints": _across(np.concatenate([points, np.ones_like(points[:, :1])], axis=1)),
            "area": float(np.prod(np.ptp(np.float64(points), axis=0))),
            "score": float(score),
        }
        for number, (image, points, score) in enumerate(rows, 1)
    ]


def _across(points: Float[np.ndarray, "joints 3"]) -> list[float]:
    """x, y, visibility of each joint, one after the other."""
    return np.float64(points)[:, [1, 0, 2]].reshape(-1).tolist()
