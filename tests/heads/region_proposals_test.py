"""Proposals and what anchors learn, against loops over boxes in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.heads import region_proposals
from m3i_jax.heads.region_proposals import Anchored, RegionProposalNetwork
from m3i_jax.types import Objects
from tests.heads import boxes64

EXTENT = np.array([[60.0, 50.0], [64.0, 64.0]], np.float32)


def test_parameters_and_the_order_of_what_is_said():
    maps = tuple(jax.ShapeDtypeStruct((1, n, n, 256), jnp.float32) for n in (8, 4))
    network = RegionProposalNetwork()
    init = lambda k, x: network.init(k, x, (4, 8))  # noqa: E731
    assert trees.count(jax.eval_shape(init, jax.random.key(0), maps)) == 1_184_015
    # Without convolutions a logit is that of its cell, and its anchor's column of the kernel.
    tiny = RegionProposalNetwork(layers=0)
    x = np.random.default_rng(0).normal(size=(2, 2, 3, 5)).astype(np.float32)
    params = tiny.init(jax.random.key(0), (x,), (8,))["params"]
    said = tiny.apply({"params": params}, (x,), (8,))
    assert said.anchors[0].shape == (18, 4) and said.logits[0].shape == (2, 18)
    kernel = params["cells"]["deltas"]["kernel"].reshape(5, 3, 4)
    want = np.einsum("bhwc,cad->bhwad", x, kernel).reshape(2, 18, 4)
    np.testing.assert_allclose(said.deltas[0], want, rtol=1e-5, atol=1e-6)
    # Cell (1, 2): centre (8, 16), sides 64, the second anchor is square.
    np.testing.assert_allclose(said.anchors[0][16], [8 - 32, 16 - 32, 8 + 32, 16 + 32])


@pytest.fixture(scope="module")
def said():
    """Anchors of two levels, well apart in logits, of two images."""
    rng = np.random.default_rng(0)
    anchors, logits, deltas = [], [], []
    for stride, n in ((8, 8), (16, 4)):
        made = region_proposals.detection.anchor_boxes(
            [(n, n)], strides=[stride], sizes=[(2.0 * stride,)]
        )
        anchors += made
        count = len(made[0])
        order = np.stack([rng.permutation(count) for _ in range(2)])
        logits.append(np.float32(order / count * 4 - 2))
        deltas.append(rng.normal(size=(2, count, 4)).astype(np.float32))
    deltas[0][0, :3] = [[0, 0, 900, 0], [np.nan, 0, 0, 0], [90, 0, 0, 0]]
    logits[0][0, :3] = [5, 6, 7]
    return Anchored(tuple(anchors), tuple(logits), tuple(deltas))


def test_proposals_are_those_of_loops(said):
    before, count, threshold = 40, 50, 0.6
    got = jax.jit(
        lambda s: region_proposals.propose(
            s, EXTENT, before=before, count=count, threshold=threshold
        )
    )(said)
    for image in range(2):
        found = []
        for anchors, logits, deltas in zip(*said, strict=True):
            best = np.argsort(-logits[image], kind="stable")[:before]
            boxes = [boxes64.decoded(deltas[image, i], anchors[i]) for i in best]
            real = [n for n, b in enumerate(boxes) if np.isfinite(b).all()]
            boxes = [
                boxes64.clipped(b, EXTENT[image]) if n in real else b for n, b in enumerate(boxes)
            ]
            real = [n for n in real if boxes64.area(boxes[n]) > 0]
            boxes, scores = [boxes[n] for n in real], [logits[image, best[n]] for n in real]
            stay = boxes64.suppressed(boxes, scores, threshold)
            found += [(scores[i], boxes[i]) for i in stay]
        want = [box for _, box in sorted(found, key=lambda pair: -pair[0])][:count]
        assert got.valid[image].sum() == len(want) and got.valid[image, : len(want)].all()
        np.testing.assert_allclose(got.corners[image, : len(want)], want, rtol=1e-5, atol=1e-4)
        assert not np.asarray(got.corners[image, len(want) :]).any()


OBJECTS = Objects(
    np.array(
        [[[4, 4, 20, 30], [30, 10, 46, 26], [8, 8, 8, 20], [0, 0, 0, 0]], [[0, 0, 0, 0]] * 4],
        np.float32,
    ),
    np.array([[2, 0, 1, -1], [-1] * 4], np.int32),
)


def test_what_anchors_learn_is_that_of_loops(said):
    """Of everything that may be drawn, in both images; in the second is no object."""
    anchors = np.concatenate(said.anchors)
    logits, deltas = (np.concatenate(x, 1) for x in said[1:])
    deltas = np.nan_to_num(deltas)
    own = said._replace(deltas=tuple(np.nan_to_num(x) for x in said.deltas))
    draw = lambda k, count, share: region_proposals.draw_anchors(  # noqa: E731
        k, own, OBJECTS, count=count, positive=share, low=0.3, high=0.7
    )
    got = jax.jit(draw, static_argnums=(1, 2))(jax.random.key(0), len(anchors), 1.0)
    for image, objects in enumerate((OBJECTS.corners[0, :3], [])):
        labels = boxes64.labelled(anchors, objects, 0.3, 0.7, True)
        front = [i for i, (label, _) in enumerate(labels) if label == 1]
        back = [i for i, (label, _) in enumerate(labels) if label == 0]
        assert got.positive[image].sum() == len(front) and (len(front) > 2) == (image == 0)
        assert got.valid[image].sum() == len(front) + len(back)
        positive, valid = np.asarray(got.positive[image]), np.asarray(got.valid[image])
        said_of = lambda rows, of=image: sorted(logits[of][rows])  # noqa: E731
        np.testing.assert_array_equal(sorted(got.logits[image][positive]), said_of(front))
        np.testing.assert_array_equal(sorted(got.logits[image][valid & ~positive]), said_of(back))
        for i in front:
            place = np.flatnonzero(positive & (got.logits[image] == logits[image, i]))
            target = boxes64.encoded(objects[labels[i][1]], anchors[i])
            rows = [p for p in place if np.allclose(got.targets[image, p], target, atol=1e-5)]
            assert rows, "an anchor with these targets"
            np.testing.assert_array_equal(got.deltas[image, rows[0]], deltas[image, i])
    few = jax.jit(draw, static_argnums=(1, 2))(jax.random.key(1), 16, 0.25)
    np.testing.assert_array_equal(few.positive.sum(1), [min(4, int(got.positive[0].sum())), 0])
    np.testing.assert_array_equal(few.valid.sum(1), [16, 16])


def test_proposals_have_no_gradient(said):
    def total(deltas):
        own = said._replace(deltas=deltas)
        return region_proposals.propose(own, EXTENT, before=9, count=9, threshold=0.5).corners.sum()

    grad = jax.jit(jax.grad(total))(said.deltas)
    assert not any(g.any() for g in grad)
