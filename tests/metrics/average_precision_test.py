"""AP and AR against pycocotools, to the last digits."""

import builtins

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.metrics import average_precision as ap
from m3i_jax.metrics.keypoints import BOX_AREA, COCO_SIGMAS, CROWDPOSE_SIGMAS, People, Poses
from tests.metrics import coco

needed = pytest.mark.skipif(
    not pytest.importorskip("importlib.util").find_spec("faster_coco_eval"),
    reason="needs faster-coco-eval",
)


def part(record, keep):
    return type(record)(*(None if x is None else x[keep] for x in record))


@needed
@pytest.mark.parametrize("sigmas", [COCO_SIGMAS, CROWDPOSE_SIGMAS])
def test_ap_and_ar_are_those_of_pycocotools(sigmas):
    """With crowds, people without joints, images without people, equal scores, more than 20."""
    people, poses, images = coco.made_up(len(sigmas))
    more = Poses(*(np.concatenate([x, x[poses.image == 10]]) for x in poses))
    assert (more.image == 10).sum() > 20 and (people.area < 32**2).any()
    kinds = (people, people._replace(area=None), people._replace(crowd=None))
    some = people._replace(area=np.where(people.crowd, np.nan, people.area))
    boxes = people.box[:, 2:].prod(1) * BOX_AREA
    mixed = people._replace(area=np.where(people.crowd, boxes, people.area))
    assert ap.of_poses(some, poses, images, sigmas=sigmas) == ap.of_poses(
        mixed, poses, images, sigmas=sigmas
    )
    for held, found in ((kinds[0], poses), (kinds[1], more), (kinds[2], more)):
        got = ap.of_poses(held, found, images, sigmas=sigmas)
        wanted = coco.stats(held, found, images, sigmas)
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12)
        assert 0.1 < got.ap < 0.9 and 0 < got.ap_medium < 1


@needed
def test_the_truth_scores_1_and_nobody_found_0_and_nobody_there_nothing():
    people, _, images = coco.made_up(17)
    plain = part(people, (people.points[..., 2] > 0).any(1) & ~people.crowd)
    truth = Poses(plain.image, plain.points[..., :2], np.ones(len(plain.image)))
    assert ap.of_poses(plain, truth, images) == pytest.approx([1] * 10)
    nobody = part(truth, slice(0))
    assert ap.of_poses(plain, nobody, images) == (0,) * 10
    assert np.isnan(ap.of_poses(part(plain, slice(0)), truth, images)).all()
    assert np.isnan(ap.of_poses(part(plain, slice(0)), nobody, images)).all()
    small = part(plain, plain.area < 32**2)
    found = part(truth, plain.area < 32**2)
    got = ap.of_poses(small, found, images)
    assert got.ap == pytest.approx(1) and np.isnan(got.ap_large)


@needed
def test_levels_of_crowding_are_evaluations_of_their_images():
    people, poses, images = coco.made_up(14)
    people = people._replace(area=None)
    crowding = np.array([0.0, 0.2, 0.79, 0.8, 0.1, 1.0])
    got = ap.by_crowding(people, poses, images, crowding)
    for value, of in zip(got, ([0, 4], [1, 2], [3, 5]), strict=True):
        some = images[of]
        inside = [part(x, np.isin(x.image, some)) for x in (people, poses)]
        wanted = coco.stats(*inside, some, CROWDPOSE_SIGMAS)[0]
        assert value == pytest.approx(wanted, abs=1e-12)
    assert len({*got}) == 3
    nowhere = ap.by_crowding(people, poses, images, np.zeros(6))
    assert np.isnan(nowhere.hard) and nowhere.easy > 0
    paper = ap.by_crowding(people, poses, images, crowding, levels=(0.1, 0.8))
    assert paper.easy != got.easy and paper.hard == got.hard


def test_what_would_be_left_out_in_silence_is_refused():
    people, poses, images = coco.made_up(17)
    cases = {
        "poses are of 1 images that are not of the set, such as 60": (people, poses, images[:-1]),
        "an image is named twice": (people, poses, np.append(images, 10)),
        "score of poses has numbers that are not finite": (
            people,
            poses._replace(score=np.full(len(poses.score), np.nan)),
            images,
        ),
        "people have 16 joints, and there are 17 sigmas": (
            people._replace(points=people.points[:, 1:]),
            poses,
            images,
        ),
    }
    for said, args in cases.items():
        with pytest.raises(ValueError, match=said):
            ap.by_crowding(*args, np.zeros(len(args[2])), sigmas=COCO_SIGMAS)
    assert isinstance(people, People)


def test_without_the_library_the_command_is_said(monkeypatch):
    real = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("faster_coco_eval"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"faster-coco-eval: pip install 'm3i_jax\[dense\]'"):
        ap.of_poses(*coco.made_up(17))
