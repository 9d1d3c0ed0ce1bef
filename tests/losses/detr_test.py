"""Losses of sets of boxes in float64, with scipy's assignment; tests/parity has transformers'."""

import jax
import numpy as np
from scipy.optimize import linear_sum_assignment

from m3i_jax import losses
from m3i_jax.detection.box_sets import BoxAnswers, QueryBoxes
from m3i_jax.types import Objects

SIZE, CLASSES, GROUPS, OBJECTS = (20, 40), 4, 2, 3
CORNERS = np.zeros((2, OBJECTS, 4), np.float32)
CORNERS[0, 0], CORNERS[0, 1], CORNERS[1, 0] = (1, 2, 9, 30), (0, 0, 20, 40), (4, 5, 15, 9)
THINGS = Objects(CORNERS, np.int32([[2, 0, -1], [3, -1, -1]]))


def said(*shape, seed):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0.2, 0.6, size=(*shape, 4))
    return QueryBoxes(np.float32(rng.normal(size=(*shape, CLASSES))), np.float32(boxes))


ANSWERS = BoxAnswers(
    said(2, 2, 5, seed=0), said(2, 5, seed=1), said(2, 2, 2 * GROUPS * OBJECTS, seed=2)
)


def sigmoid_(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def corners_(b):
    x, y, w, h = np.float64(b)
    return y - h / 2, x - w / 2, y + h / 2, x + w / 2


def giou_(a, b):
    (t, l, d, r), (t2, l2, d2, r2) = a, b
    inter = max(min(d, d2) - max(t, t2), 0) * max(min(r, r2) - max(l, l2), 0)
    union = (d - t) * (r - l) + (d2 - t2) * (r2 - l2) - inter
    hull = (max(d, d2) - min(t, t2)) * (max(r, r2) - min(l, l2))
    return inter / union - (hull - union) / hull


def true_(b):
    """Centres and categories of the objects that are there."""
    real = THINGS.categories[b] >= 0
    t, l, d, r = np.float64(CORNERS[b, real]).T / [[20], [40], [20], [40]]
    return np.stack([(l + r) / 2, (t + d) / 2, r - l, d - t], -1), THINGS.categories[b, real]


def focal_(logits, target):
    p = sigmoid_(logits)
    own = np.eye(CLASSES + 1)[target][:, :CLASSES]
    right = -0.25 * (1 - p) ** 2 * np.log(p)
    wrong = -0.75 * p**2 * np.log(1 - p)
    return (own * right + (1 - own) * wrong).sum()


def compared_(one, boxes, kinds, pairs):
    """Sums of the three losses of one output of an image."""
    target = np.full(len(one.boxes), CLASSES)
    distance = overlap = 0.0
    for q, g in pairs:
        target[q] = kinds[g]
        distance += np.abs(one.boxes[q] - boxes[g]).sum()
        overlap += 1 - giou_(corners_(one.boxes[q]), corners_(boxes[g]))
    return np.array([focal_(one.categories, target), distance, overlap])


def cost_(one, boxes, kinds):
    cost = np.zeros((len(one.boxes), len(kinds)))
    for q, g in np.ndindex(cost.shape):
        p = sigmoid_(one.categories[q, kinds[g]])
        focal = -0.25 * (1 - p) ** 2 * np.log(p) + 0.75 * p**2 * np.log(1 - p)
        distance = np.abs(one.boxes[q] - boxes[g]).sum()
        overlap = giou_(corners_(one.boxes[q]), corners_(boxes[g]))
        cost[q, g] = 2 * focal + 5 * distance - 2 * overlap
    return cost


def wanted(b, *, noised):
    """The sums of one image: outputs and proposals over 3 objects, what is noised over 6."""
    boxes, kinds = true_(b)
    outputs = [QueryBoxes(*(x[b, l] for x in ANSWERS.layers)) for l in range(2)]
    outputs.append(QueryBoxes(*(x[b] for x in ANSWERS.proposals)))
    total = np.zeros(3)
    for one in outputs:
        pairs = zip(*linear_sum_assignment(cost_(one, boxes, kinds)), strict=True)
        total += compared_(one, boxes, kinds, pairs) / 3
    if noised:
        for l in range(2):
            real = np.flatnonzero(np.tile(THINGS.categories[b] >= 0, 2 * GROUPS))
            one = QueryBoxes(*(x[b, l][real] for x in ANSWERS.noised))
            pairs = [(2 * g * len(kinds) + k, k) for g in range(GROUPS) for k in range(len(kinds))]
            total += compared_(one, boxes, kinds, pairs) / 6
    return 2 * total  # so that the mean of both images is the sum


RUN = jax.jit(lambda answers, things: losses.box_set(answers, things, size=SIZE))


def test_with_and_without_noised_objects_in_float64():
    for answers, noised in ((ANSWERS, True), (ANSWERS._replace(noised=None), False)):
        got = np.stack(RUN(answers, THINGS), -1)
        want = np.stack([wanted(b, noised=noised) for b in range(2)])
        np.testing.assert_allclose(got, want, rtol=2e-5)
    np.testing.assert_allclose(
        RUN(ANSWERS, THINGS).weighted(),
        [wanted(b, noised=True) @ [1, 5, 2] for b in range(2)],
        rtol=2e-5,
    )


def test_images_without_objects_have_losses_of_nothing_alone():
    empty = Objects(0 * CORNERS, np.full((2, OBJECTS), -1, np.int32))
    got = RUN(ANSWERS, empty)
    assert not np.asarray(got.distance).any() and not np.asarray(got.overlap).any()
    nothing = [
        focal_(ANSWERS.layers.categories[b].reshape(-1, CLASSES), np.full(10, CLASSES))
        + focal_(ANSWERS.proposals.categories[b], np.full(5, CLASSES))
        for b in range(2)
    ]
    np.testing.assert_allclose(got.category, 2 * np.array(nothing), rtol=2e-5)
    grads = jax.jit(jax.grad(lambda a: losses.box_set(a, empty, size=SIZE).weighted().sum()))(
        ANSWERS
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))
    assert not np.asarray(grads.noised.categories).any()
