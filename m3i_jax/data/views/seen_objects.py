"""The objects that are seen in a view: cut off at its edges, in the places that a batch has."""

from collections.abc import Sequence

import numpy as np

from m3i_jax.data.sources import outlines, sample_objects
from m3i_jax.data.sources.sample_objects import LEAST, SampleObjects
from m3i_jax.types import Objects


def cut_off(objects: SampleObjects, size: tuple[int, int]) -> SampleObjects:
    """What of the objects lies in a view of this height and width, without those of which nothing
    does.

    A box becomes that of what is seen of its outline, where it has one: a person whose head alone
    is in the view has the box of the head (detectron2's `recompute_boxes`).

    objects: in pixels of the view.
    """
    corners = objects.corners.clip(0, np.float32([*size, *size]))
    some = (corners[:, 2:] - corners[:, :2] >= LEAST).all(1)
    for n in np.flatnonzero(some):
        outline = objects.outlines and objects.outlines[n]
        # Whole boxes stay as they are said: annotators draw outlines with a coarser hand.
        if outline is None or (corners[n] == objects.corners[n]).all():
            continue
        found = outlines.bounds(outline, corners[n])
        some[n] = found is not None and (found[2:] - found[:2] >= LEAST).all()
        corners[n] = found if some[n] else 0
    return sample_objects.chosen(objects._replace(corners=corners), np.flatnonzero(some))


def packed(
    objects: SampleObjects, *, places: int, side: int = 0, shown: Sequence[float] = ()
) -> Objects:
    """One row of a batch: objects in so many places, the rest padding.

    Crowds are none that could be learnt; of more than `places` the largest stay, in their order.

    objects: in pixels of the view.
    side: of the masks, each in the frame of its corners; 0 = none. One without an outline fills its
      box.
    shown: how many images show each category, where a batch is to have it.
    """
    alone = np.flatnonzero(~objects.crowd)
    sides = objects.corners[alone, 2:] - objects.corners[alone, :2]
    largest = np.argsort(-sides.prod(1), kind="stable")[:places]
    kept = sample_objects.chosen(objects, alone[np.sort(largest)])
    corners, categories = np.zeros((places, 4), np.float32), np.full(places, -1, np.int32)
    corners[: len(kept.corners)] = kept.corners
    categories[: len(kept.corners)] = kept.categories
    often = np.asarray(shown, np.float32) if len(shown) else None
    if not side:
        return Objects(corners, categories, shown=often)
    masks = np.zeros((places, side, side), np.uint8)
    for n, frame in enumerate(kept.corners):
        outline = kept.outlines and kept.outlines[n]
        masks[n] = 1 if outline is None else outlines.mask(outline, frame, (side, side))
    return Objects(corners, categories, masks, often)


def none(*, places: int, side: int = 0, shown: Sequence[float] = ()) -> Objects:
    """The row of a sample of which nobody has said what is there."""
    return packed(sample_objects.none(), places=places, side=side, shown=shown)
