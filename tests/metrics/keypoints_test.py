"""OKS against pycocotools, NMS against loops, scores by hand."""

import numpy as np
import pytest

from m3i_jax.metrics import keypoints
from m3i_jax.metrics.keypoints import People
from tests.metrics import coco

RNG = np.random.default_rng(10)


@pytest.mark.parametrize("sigmas", [keypoints.COCO_SIGMAS, keypoints.CROWDPOSE_SIGMAS])
def test_similarity_is_that_of_pycocotools(sigmas):
    """Of labelled people, of those without a labelled joint, with and without an outline."""
    people, poses, images = coco.made_up(len(sigmas))
    for people in (people, people._replace(area=None)):  # noqa: B020
        evaluator = coco.evaluator(people, poses, images, sigmas)
        pairs = 0
        for image in images:
            some = People(*(None if x is None else x[people.image == image] for x in people))
            mine = np.flatnonzero(poses.image == image)
            mine = mine[np.argsort(-poses.score[mine], kind="stable")][:20]
            found = keypoints.similarity(poses.points[mine], some, sigmas=sigmas)
            wanted = evaluator.computeOks(image, 1)
            if len(wanted):
                np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-300)
                pairs += found.size
        assert pairs > 100


def test_the_truth_is_like_itself_and_a_joint_one_sigma_off_is_as_known():
    people, _, _ = coco.made_up(17)
    labelled = (people.points[..., 2] > 0).any(1)
    people = People(*(None if x is None else x[labelled] for x in people))
    own = np.diagonal(keypoints.similarity(people.points[..., :2], people))
    np.testing.assert_allclose(own, 1, rtol=1e-15)
    one = People(*(None if x is None else x[:1] for x in people))
    one.points[..., 2] = 2
    off = one.points[..., :2].astype(np.float64)
    off[..., 1] += 2 * np.array(keypoints.COCO_SIGMAS) * np.sqrt(one.area[0])
    found = keypoints.similarity(off, one)
    np.testing.assert_allclose(found, np.exp(-0.5), rtol=1e-5)


def test_scores_are_boxes_times_the_mean_of_sure_joints():
    joints = np.array([[0.5, 0.1, 0.9], [0.2, 0.1, 0.0], [1.0, 1.0, 1.0]])
    found = keypoints.score(np.array([0.5, 0.9, 0.3]), joints)
    np.testing.assert_allclose(found, [0.35, 0, 0.3], rtol=1e-15)
    np.testing.assert_allclose(keypoints.score(np.ones(1), joints[1:2], least=0.05), [0.15])


def test_correct_joints_are_counted_by_the_size_of_the_person():
    people, _, _ = coco.made_up(17)
    long = people.box[:, 2:].max(1)[:, None]
    off = long * np.linspace(0, 0.19, 17)  # the tenth joint is .107 sides off, the ninth .095
    found = keypoints.pck(people.points[..., :2] + np.stack([0 * off, off], -1), people)
    labelled = people.points[..., 2] > 0
    np.testing.assert_array_equal(np.isnan(found), ~labelled)
    np.testing.assert_array_equal(found == 1, labelled & (np.arange(17) < 9))
    half = keypoints.pck(people.points[..., :2] + off[..., None] / np.sqrt(2), people, within=0.05)
    np.testing.assert_array_equal(half == 1, labelled & (np.arange(17) < 5))


def greedy(points, scores, area, overlap):
    sigma, kept = np.array(keypoints.COCO_SIGMAS), []
    for i in sorted(range(len(points)), key=lambda i: -scores[i]):
        alike = [
            np.mean(
                [
                    np.exp(
                        -((points[i, k] - points[j, k]) ** 2).sum()
                        / (2 * (2 * sigma[k]) ** 2 * (area[i] + area[j]) / 2)
                    )
                    for k in range(17)
                ]
            )
            for j in kept
        ]
        if all(x <= overlap for x in alike):
            kept.append(i)
    return kept


@pytest.mark.parametrize("overlap", [0.5, 0.9])
def test_suppression_equals_loops(overlap):
    base = RNG.uniform(0, 200, (4, 17, 2))
    points = np.repeat(base, 5, 0) + RNG.normal(size=(20, 17, 2)) * RNG.uniform(0, 5, (20, 1, 1))
    scores, area = np.round(RNG.random(20), 1), RNG.uniform(2e3, 9e3, 20)  # with ties
    found = keypoints.suppressed(points, scores, area, overlap=overlap)
    np.testing.assert_array_equal(found, greedy(points, scores, area, overlap))
    assert 4 <= len(found) < 20
    none = keypoints.suppressed(points[:0], scores[:0], area[:0])
    assert none.shape == (0,)


def test_joints_without_sigmas_are_refused():
    with pytest.raises(ValueError, match="17 sigmas for 14 joints"):
        keypoints.suppressed(np.zeros((1, 14, 2)), np.ones(1), np.ones(1))
