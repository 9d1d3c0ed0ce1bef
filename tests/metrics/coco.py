"""People and poses that are made up, and what pycocotools says of them."""

import contextlib
import io

import numpy as np
import pytest

from m3i_jax.metrics.keypoints import BOX_AREA, People, Poses


def made_up(joints, *, images=6, seed=11):
    """People of all kinds and sizes, near and far guesses, and an image with nobody in it."""
    rng = np.random.default_rng(seed)
    count = 5 * (images - 1)
    image = np.repeat(np.arange(1, images), 5) * 10
    height = np.exp(rng.uniform(np.log(24), np.log(300), (count, 1)))
    box = np.concatenate([rng.uniform(0, 400, (count, 2)), height, height / 2], 1)
    places = box[:, None, :2] + rng.random((count, joints, 2)) * box[:, None, 2:]
    seen = rng.integers(0, 3, (count, joints, 1))
    seen[::5] = 0  # not one joint of theirs is labelled
    people = People(
        image=image,
        points=np.concatenate([places.round(), seen], -1),
        box=box.round(1),
        area=(box[:, 2] * box[:, 3] * rng.uniform(0.3, 0.9, count)).round(2),
        crowd=np.arange(count) % 5 == 1,
    )
    size = np.sqrt(people.area)[:, None, None]
    guesses = [people.points[..., :2] + rng.normal(size=places.shape) * size * x
               for x in (0.02, 0.06, 0.3)]  # fmt: skip
    alone = rng.uniform(0, 400, (4, joints, 2))  # of the image with nobody, and of another
    where = np.concatenate([*[image] * 3, [10 * images] * 2, [10] * 2])
    order = rng.permutation(len(where))
    poses = Poses(
        image=where[order],
        points=np.concatenate([*guesses, alone])[order],
        score=rng.random(len(where)).round(1)[order],  # with ties
    )
    return people, poses, 10 * np.arange(1, images + 1)


def evaluator(people, poses, images, sigmas):
    """pycocotools' evaluation, prepared; skips where it is not installed."""
    library = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    area = people.area if people.area is not None else people.box[:, 2:].prod(1) * BOX_AREA
    crowd = people.crowd if people.crowd is not None else np.zeros(len(people.image), bool)
    truth = library.COCO.__new__(library.COCO)
    with contextlib.redirect_stdout(io.StringIO()):
        truth.__init__()
        truth.dataset = {
            "images": [{"id": int(i)} for i in images],
            "categories": [{"id": 1}],
            "annotations": [
                {
                    "id": n + 1,
                    "image_id": int(people.image[n]),
                    "category_id": 1,
                    "keypoints": people.points[n][:, [1, 0, 2]].ravel().tolist(),
                    "num_keypoints": int((people.points[n, :, 2] > 0).sum()),
                    "bbox": people.box[n, [1, 0, 3, 2]].tolist(),
                    "area": float(area[n]),
                    "iscrowd": int(crowd[n]),
                }
                for n in range(len(people.image))
            ],
        }
        truth.createIndex()
        found = truth.loadRes(
            [
                {
                    "image_id": int(i),
                    "category_id": 1,
                    "keypoints": np.insert(p[:, ::-1], 2, 1, axis=1).ravel().tolist(),
                    "score": float(s),
                }
                for i, p, s in zip(*poses, strict=True)
            ]
        )
        evaluation = cocoeval.COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(sigmas)
        evaluation._prepare()
    return evaluation


def stats(*args):
    """pycocotools' ten numbers, NaN for those that it does not have."""
    evaluation = evaluator(*args)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.where(evaluation.stats < 0, np.nan, evaluation.stats)
