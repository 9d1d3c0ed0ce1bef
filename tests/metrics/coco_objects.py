"""Objects that are made up to be awkward, and what pycocotools says of them."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import strategies as st

from m3i_jax.metrics.objects import Found, Images, There

SIDE, STEP = 144, 16  # corners are multiples of STEP, so overlaps and areas of 32², 96² are exact
IMAGES = Images(np.array([7, 3, 12]), np.full((3, 2), SIDE))
CATEGORIES = 3


def corners(cells):
    """Boxes of two places of a grid each, of which some have no area."""
    return np.sort(np.array(cells, float).reshape(-1, 2, 2), axis=1).reshape(-1, 4) * STEP


def drawn_mask(box, seed):
    """A box of which a part is missing."""
    mask = np.zeros((SIDE, SIDE), bool)
    top, left, bottom, right = box.astype(int)
    mask[top:bottom, left:right] = True
    if seed % 3:
        mask[top : (top + bottom) // 2, left : left + (right - left) * (seed % 4) // 4] = False
    return mask


PLACE = st.tuples(*[st.integers(0, SIDE // STEP)] * 4)
OBJECT = st.tuples(
    st.sampled_from(IMAGES.number.tolist()),
    PLACE,
    st.integers(0, CATEGORIES - 1),
    st.sampled_from([0.0, 0.25, 0.5, 0.5, 1.0]),  # ties; of what is there, whether it is a crowd
    st.integers(0, 11),
)


@st.composite
def sets(draw):
    """What is there, and what was found: often at the same places; any of both may be empty."""
    there = draw(st.lists(OBJECT, max_size=8))
    found = draw(st.lists(OBJECT, max_size=10))
    if there:
        near = draw(st.lists(st.sampled_from(there), max_size=6))
        scores = draw(st.lists(st.sampled_from([0.25, 0.5, 0.9]), min_size=6, max_size=6))
        found += [(i, p, c, s, n) for (i, p, c, _, n), s in zip(near, scores, strict=False)]
    found = draw(st.permutations(found))
    return made(there, crowds=True), made(found)


def made(rows, *, crowds=False):
    """`There` or `Found` of drawn rows."""
    image, place, category, score, seed = zip(*rows, strict=True) if rows else [()] * 5
    boxes = corners(place)
    masks = [drawn_mask(box, n) for box, n in zip(boxes, seed, strict=True)]
    head = np.array(image, int), boxes, np.array(category, int)
    if not crowds:
        return Found(*head, np.array(score, float), masks)
    area = np.array([mask.sum() for mask in masks], float)
    return There(*head, area, np.array(score, float) == 0.25, masks)


def evaluation(there, found, images, categories, *, masks, most=(1, 10, 100)):
    """pycocotools' evaluation, which was run; skips where it is not installed."""
    library = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    coder = pytest.importorskip("pycocotools.mask")
    # letters of runs, as pycocotools makes them
    coded = lambda mask: coder.encode(np.asfortranarray(mask.astype(np.uint8)))  # noqa: E731
    box = lambda c: [c[1], c[0], c[3] - c[1], c[2] - c[0]]  # noqa: E731
    head = lambda one, n: dict(  # noqa: E731
        image_id=int(one.image[n]), category_id=int(one.category[n])
    )
    sizes = dict(zip(images.number.tolist(), images.size.tolist(), strict=True))
    held = {
        "images": [dict(id=i, height=h, width=w) for i, (h, w) in sizes.items()],
        "categories": [{"id": n} for n in range(categories)],
    }
    said = []
    for n in range(len(there.image)):
        one = head(there, n) | dict(id=n + 1, bbox=box(there.corners[n].tolist()))
        one |= dict(area=float(there.area[n]), iscrowd=int(there.crowd[n]))
        said.append(one | (dict(segmentation=coded(there.masks[n])) if masks else {}))
    guessed = []
    for n in range(len(found.image)):
        one = head(found, n) | dict(score=float(found.score[n]))
        shape = dict(segmentation=coded(found.masks[n])) if masks else {}
        guessed.append(one | (shape or dict(bbox=box(found.corners[n].tolist()))))
    with contextlib.redirect_stdout(io.StringIO()), np.errstate(invalid="ignore"):
        truth = library.COCO()
        truth.dataset = {**held, "annotations": said}
        truth.createIndex()
        if guessed:
            other = truth.loadRes(guessed)
        else:  # which loadRes does not know
            other = library.COCO()
            other.dataset = {**held, "annotations": []}
            other.createIndex()
        run = cocoeval.COCOeval(truth, other, "segm" if masks else "bbox")
        run.params.maxDets = [*most]
        run.evaluate()
        run.accumulate()
        if len(most) == 3 and most[-1] == 100:
            run.summarize()
    return run
