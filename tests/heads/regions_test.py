"""What boxes learn and what is found, against loops over boxes in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.heads import regions
from m3i_jax.heads.region_proposals import Proposals
from m3i_jax.heads.regions import WEIGHTS, BoxHead, MaskHead
from m3i_jax.types import Objects
from tests.heads import boxes64

OBJECTS = Objects(
    np.array(
        [[[4, 4, 20, 30], [30, 10, 46, 26], [8, 8, 8, 20], [0] * 4], [[0] * 4] * 4], np.float32
    ),
    np.array([[2, 0, 1, -1], [-1] * 4], np.int32),
    np.random.default_rng(5).integers(0, 2, (2, 4, 6, 5)).astype(np.uint8),
)


def drawn(module, *inputs):
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda s: draw(0.1, 0.3, s.shape).astype(np.float32), shapes)


def test_parameters_of_vitdet():
    grids = lambda n: jax.ShapeDtypeStruct((1, 2, n, n, 256), jnp.float32)  # noqa: E731
    kinds = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    count = lambda m, *x: trees.count(jax.eval_shape(m.init, jax.random.key(0), *x))  # noqa: E731
    assert count(BoxHead(80), grids(7)) == 15_618_449
    assert count(MaskHead(80), grids(14), kinds) == 2_644_304
    # torchvision's two products (`fc6`, `fc7`) and its predictor of 91 rows.
    first, last = 256 * 7 * 7 * 1024 + 1024 + 1024 * 1024 + 1024, 1025 * 91 * 5
    two = BoxHead(90, 0, norm="none", products=2)
    assert count(two, grids(7)) == first + last - 4 * 1025  # background has no box here


def test_boxes_and_masks_are_read_one_by_one():
    """Every box by itself, of whatever others are beside it; masks of one category of all."""
    x = np.random.default_rng(1).normal(size=(2, 3, 3, 3, 5)).astype(np.float32)
    head = BoxHead(4, layers=1, width=6, hidden=7)
    params = drawn(head, x)
    logits, deltas = head.apply({"params": params}, x)
    assert logits.shape == (2, 3, 5) and deltas.shape == (2, 3, 4, 4)
    alone = head.apply({"params": params}, x[1:, 2:])
    np.testing.assert_allclose(alone[0][0, 0], logits[1, 2], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(alone[1][0, 0], deltas[1, 2], rtol=1e-5, atol=1e-5)
    head = MaskHead(4, layers=1, width=6)
    kinds = np.array([[0, 3, 1], [2, 2, 0]], np.int32)
    params = drawn(head, x, kinds)
    got = head.apply({"params": params}, x, kinds)
    assert got.shape == (2, 3, 6, 6)
    # With the row of a category where another's is, the mask of that one is this one's.
    kernel = params["masks"]["kernel"][:, [3] * 4]
    other = params | {"masks": {"kernel": kernel, "bias": params["masks"]["bias"][[3] * 4]}}
    want = head.apply({"params": other}, x, np.zeros_like(kinds))
    np.testing.assert_allclose(got[0, 1], want[0, 1], rtol=1e-5, atol=1e-5)
    assert np.abs(got[0, 0] - want[0, 0]).max() > 1e-3


def proposals():
    rng = np.random.default_rng(3)
    start = rng.uniform(0, 40, (2, 24, 2))
    corners = np.concatenate([start, start + rng.uniform(4, 24, (2, 24, 2))], -1)
    corners[0, :3] = [[5, 4, 20, 29], [4, 5, 21, 30], [31, 10, 46, 27]]
    valid = np.ones((2, 24), bool)
    valid[:, -4:] = False
    return Proposals(np.where(valid[..., None], corners, 0).astype(np.float32), valid)


def test_what_boxes_learn_is_that_of_loops():
    """All that may be drawn: proposals and objects, also one of no size; then a few."""
    given = proposals()
    draw = jax.jit(
        lambda k, count, share: regions.draw_regions(
            k, given, OBJECTS, categories=3, count=count, positive=share, threshold=0.5
        ),
        static_argnums=(1, 2),
    )
    got = jax.device_get(draw(jax.random.key(0), 28, 1.0))
    for image, count in enumerate((3, 0)):
        objects = OBJECTS.corners[image, :count]
        boxes = [*given.corners[image][given.valid[image]], *objects]
        labels = boxes64.labelled(boxes, objects, 0.5, 0.5, False)
        want = sorted(
            (
                tuple(box),
                OBJECTS.categories[image, of] if label else 3,
                tuple(np.round(boxes64.encoded(objects[of], box, WEIGHTS), 3)) if label else (),
            )
            for box, (label, of) in zip(boxes, labels, strict=True)
        )
        rows = [i for i in range(28) if got.valid[image, i]]
        said = [tuple(np.round(np.float64(x), 3)) for x in got.targets[image]]
        found = sorted(
            (
                tuple(got.corners[image, i]),
                got.categories[image, i],
                said[i] if got.positive[image, i] else (),
            )
            for i in rows
        )
        assert [x[:2] for x in found] == [x[:2] for x in want]
        for one, two in zip(found, want, strict=True):
            np.testing.assert_allclose(one[2], two[2], atol=2e-3)
        front = sum(label for label, _ in labels)
        assert got.positive[image].sum() == front and got.positive[image, :front].all()
        assert (front >= 4) == (image == 0), "the object of no size is background"
    few = draw(jax.random.key(1), 8, 0.25)
    np.testing.assert_array_equal(few.positive.sum(1), [2, 0])
    np.testing.assert_array_equal(few.valid.sum(1), [8, 8])


def linear_(mask, row, column):
    """The mask between the centres of its cells, and nothing beyond its frame."""
    height, width = mask.shape
    if not (-0.5 <= row <= height - 0.5 and -0.5 <= column <= width - 0.5):
        return 0.0
    row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    near = lambda at, i: max(0, 1 - abs(at - i))  # noqa: E731
    cells = [(i, j) for i in range(height) for j in range(width)]
    return sum(near(row, i) * near(column, j) * mask[i, j] for i, j in cells)


def test_masks_are_cut_to_boxes_by_samples():
    """Of a box beyond the object, inside of it, of itself, and of nothing."""
    corners = np.array([[[0, 0, 24, 34], [6, 9, 15, 22], [4, 4, 20, 30], [0] * 4]], np.float32)
    of, objects = np.zeros((1, 4), np.int32), jax.tree.map(lambda x: x[:1], OBJECTS)
    got = np.asarray(jax.jit(regions.mask_targets)(objects, of, corners))
    top, left, bottom, right = np.float64(OBJECTS.corners[0, 0])
    mask = OBJECTS.masks[0, 0]
    for place in range(3):
        t, l, b, r = np.float64(corners[0, place])
        wrong = 0
        for i in range(28):
            for j in range(28):  # bins of less than a cell have one sample, in their middle
                row = (t + (i + 0.5) * (b - t) / 28 - top) / (bottom - top) * 6 - 0.5
                column = (l + (j + 0.5) * (r - l) / 28 - left) / (right - left) * 5 - 0.5
                value = linear_(mask, row, column)
                wrong += abs(value - 0.5) > 1e-5 and (value >= 0.5) != got[0, place, i, j]
        assert wrong == 0
    assert not got[0, 3].any() and 0.1 < got[0, :3].mean() < 0.9


def test_what_is_found_is_that_of_loops_over_all_pairs():
    given, rng = proposals(), np.random.default_rng(4)
    said = np.float32(rng.dirichlet(np.ones(4), (2, 24)))
    deltas = rng.normal(0, 2, (2, 24, 3, 4)).astype(np.float32)
    deltas[0, 5, 1] = np.nan
    extent = np.array([[50, 64], [64, 40]], np.float32)
    own = dict(score=0.2, threshold=0.3, candidates=72)
    got = jax.jit(lambda: regions.detect(given, said, deltas, extent, count=9, **own))()
    for image in range(2):
        boxes, scores, kinds = [], [], []
        for i in range(20):
            for c in range(3):
                box = boxes64.decoded(deltas[image, i, c], given.corners[image, i], WEIGHTS)
                if said[image, i, c] > 0.2 and np.isfinite(box).all():
                    boxes.append(boxes64.clipped(box, extent[image]))
                    scores.append(said[image, i, c])
                    kinds.append(c)
        stay = boxes64.suppressed(boxes, scores, 0.3, kinds)[:9]
        assert 4 < len(stay)
        np.testing.assert_array_equal(got.scores[image, : len(stay)], [scores[i] for i in stay])
        np.testing.assert_array_equal(got.categories[image, : len(stay)], [kinds[i] for i in stay])
        want = [boxes[i] for i in stay]
        np.testing.assert_allclose(got.corners[image, : len(stay)], want, rtol=1e-5, atol=1e-4)
    few = regions.detect(given, said, deltas, extent, count=40, **own)
    rest = np.asarray(few.categories) < 0
    assert rest.any() and not np.asarray(few.scores)[rest].any()
    assert not np.asarray(few.corners)[rest].any()


@pytest.mark.parametrize("candidates", [10, 72])
def test_fewer_candidates_find_the_same_best(candidates):
    """As many as are looked at, or all: what stays depends on what is better alone."""
    given, rng = proposals(), np.random.default_rng(4)
    said = np.float32(rng.dirichlet(np.ones(4), (2, 24)))
    own = dict(score=0.05, threshold=0.9, count=4)
    deltas, extent = np.zeros((2, 24, 3, 4), np.float32), np.full((2, 2), 64, np.float32)
    one = regions.detect(given, said, deltas, extent, candidates=candidates, **own)
    two = regions.detect(given, said, deltas, extent, candidates=72, **own)
    jax.tree.map(np.testing.assert_array_equal, one, two)
