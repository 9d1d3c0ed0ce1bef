"""Methods whose targets are objects of images: what encoders are fine-tuned for, as by `dense`.

All losses of a detector are terms of one head, whose answer is a record: it is asked once.
"""

from collections.abc import Callable
from typing import Annotated

import jax.numpy as jnp

from m3i_jax import framework as fw
from m3i_jax import losses
from m3i_jax.build import ConfigError
from m3i_jax.framework import Code, Method, Term
from m3i_jax.geometry.maps import Blocks
from m3i_jax.methods.dense import Categories
from m3i_jax.ranges import Range, Weight
from m3i_jax.texts import OneOf

Kinds = Annotated[int, Range(1, 100_000)]
Weights = tuple[Weight, Weight, Weight]


def mask_rcnn(
    *,
    classes: Kinds = 80,
    blocks: Blocks = "last",
    masks: bool = True,
    softmax: bool = True,
    federated: Annotated[int, Range(0, 100_000)] = 0,
) -> Method:
    """Detection and instance segmentation: view a → boxes, categories and masks of its objects.

    −log P̂ = BCE of whether an anchor is an object + |Δ| of its box, and of the boxes that these
    propose: CE of the category + |Δ| + BCE of the mask (Mask R-CNN: He et al. 2017,
    https://arxiv.org/abs/1703.06870). M3I's ViT-B, COCO: 52.2 AP of boxes (M3I Table 4).
    docs/methods.md#mask_rcnn.

    classes: categories of objects.
    blocks: what the head sees of the encoder, "last", "stages", or numbers of blocks from 1.
    masks: whether objects have masks; the head's `masks` has to agree.
    softmax: whether categories exclude each other; else each has a sigmoid (LVIS), as the head's.
    federated: how many categories the boxes of an image are compared with, those that are there and
      others that are drawn by how many images of the data show them; 0 = all. Without softmax.

    Raises:
      ConfigError: categories exclude each other, and some are to be compared.
    """
    if softmax and federated:
        raise ConfigError(
            f"mask_rcnn compares {federated} categories of an image, federated, but with softmax "
            "they exclude each other, so all are asked: set softmax=False, the head's too"
        )
    parts = {
        "objectness": fw.answered("Bernoulli", losses.anchor_objectness),
        "proposals": fw.answered("Laplace", losses.anchor_boxes_l1),
        "categories": _of_boxes(softmax=softmax, federated=federated),
        "boxes": fw.answered("Laplace", losses.region_boxes_l1),
    }
    if masks:
        parts["masks"] = fw.answered("Bernoulli", losses.region_masks)
    terms = {
        name: Term("x", "objects", "detection", said, group="sp") for name, said in parts.items()
    }
    return Method(_codes(blocks, classes, outlines=masks, counts=federated > 0), terms)


def _of_boxes(*, softmax: bool, federated: int) -> fw.Distribution:
    """What boxes say of their categories."""

    def loss(said, target):
        if softmax != (said.lots is None):
            raise ValueError(
                f"categories of the method have softmax={softmax}, those of its head the contrary: "
                "set softmax of both, config.objective.softmax and config.decoders.detection's"
            )
        if softmax:
            return losses.region_categories(said)
        if not federated:
            return losses.region_categories_sigmoid(said)
        shown = target.objects.shown
        return losses.region_categories_federated(said, shown, count=federated)

    return fw.compared("Boltzmann" if softmax else "Bernoulli", loss)


def swin_track(*, blocks: Blocks = "last", weight: Weight = 1.5) -> Method:
    """Tracking: view a, a region, and view b, a template → where in a the object of b is.

    −log P̂ = w VFL of how sure each cell is + w (1 − GIoU) of its box (SwinTrack: Lin et al. 2022,
    https://arxiv.org/abs/2112.00995). docs/methods.md#swin_track.

    blocks: behind which block there is the map of both views, "last", or the number of one from 1.
    weight: w.
    """
    both = fw.mapped_each(fw.mapped(fw.online(), blocks), ("a", "b"))
    codes = {"x": Code("a", both), "objects": Code("objects", fw.objects(categories=1))}
    parts = {
        "sureness": ("Bernoulli", losses.tracked_sureness),
        "place": ("Laplace", losses.tracked_place),
    }
    about = dict(weight=weight, group="sp")
    terms = {
        name: Term("x", "objects", "tracking", fw.compared(kind, _of_one(loss)), **about)
        for name, (kind, loss) in parts.items()
    }
    return Method(codes, terms)


def dino_detector(
    *, classes: Kinds = 80, blocks: Blocks = "stages", weights: Weights = (1.0, 5.0, 2.0)
) -> Method:
    """Detection by a set of queries: view a → boxes and categories of its objects.

    −log P̂ = w₁ focal + w₂ |b − t|₁ + w₃ (1 − GIoU) of the queries that are matched with objects, in
    every layer, and of noised objects (DINO: Zhang et al. 2023, https://arxiv.org/abs/2203.03605).
    InternImage-H by M3I, COCO test-dev: 65.4 AP (M3I Table 1). docs/methods.md#dino_detector.

    classes: categories of objects.
    blocks: what the head sees of the encoder, "last", "stages", or numbers of blocks from 1.
    weights: w, of categories, distances and overlaps.
    """

    def loss(said, target):
        places = target.objects.categories.shape[1]
        _check_queries(said.layers.categories.shape[2], places, "config.crops.objects")
        how = dict(size=target.size, match=fw.matched)
        return _weighed(losses.box_set(said, target.objects, **how), weights)

    terms = {"boxes": Term("x", "objects", "detection", fw.compared("Laplace", loss), group="sp")}
    return Method(_codes(blocks, classes), terms)


def mask2former(
    *,
    classes: Categories = 150,
    blocks: Blocks = "stages",
    finds: Annotated[str, OneOf("categories", "objects")] = "categories",
    most: Annotated[int, Range(1, 255)] = 64,
    weights: Weights = (2.0, 5.0, 5.0),
) -> Method:
    """Segmentation by a set of masks: view a → a category and a mask of each query.

    −log P̂ = w₁ CE + w₂ BCE + w₃ dice of the masks that are matched with those of categories, or of
    objects, in every layer (Mask2Former: Cheng et al. 2022, https://arxiv.org/abs/2112.01527).
    InternImage-H by M3I, ADE20K: 62.9 mIoU (M3I Table 1). docs/methods.md#mask2former.

    classes: categories.
    blocks: what the head sees of the encoder, "last", "stages", or numbers of blocks from 1.
    finds: "categories" of pixels, each that is there one mask, or "objects"; as the head's.
    most: categories of an image that are learnt by, those of most pixels.
    weights: w, of categories, cross-entropies and overlaps.
    """

    def loss(said, target):
        if target.objects is not None:
            there = losses.masks_of_objects(target.objects, size=target.size)
        else:
            labels = target.target_index.astype(jnp.uint8)
            there = losses.masks_of_categories(labels, classes=classes, most=min(most, classes))
        room = "config.crops.objects" if finds == "objects" else "config.objective.most"
        _check_queries(said.categories.shape[2], there.categories.shape[1], room)
        return _weighed(losses.mask_set(said, there, match=fw.matched), weights)

    if finds == "objects":
        y, codes = "objects", _codes(blocks, classes, outlines=True)
    else:
        y, codes = (
            "mask",
            {"x": _seen(blocks), "mask": Code("mask", fw.categories(classes=classes))},
        )
    terms = {"masks": Term("x", y, "segmentation", fw.compared("Bernoulli", loss), group="sp")}
    return Method(codes, terms)


def _codes(
    blocks: Blocks, classes: int, *, outlines: bool = False, counts: bool = False
) -> dict[str, Code]:
    """The maps of view a, and its objects."""
    return {
        "x": _seen(blocks),
        "objects": Code(
            "objects", fw.objects(categories=classes, outlines=outlines, counts=counts)
        ),
    }


def _seen(blocks: Blocks) -> Code:
    return Code("a", fw.mapped(fw.online(), blocks))


def _of_one(loss: Callable) -> Callable:
    """A loss of what is said of the first object of every image, beside its corners."""
    return lambda said, target: loss(said, target.objects.corners[:, 0])


def _check_queries(queries: int, places: int, room: str) -> None:
    """Refuses fewer queries than an image may have to be found."""
    if queries < places:
        raise ConfigError(
            f"the head has {queries} queries, but an image has places for {places}, {room}; "
            f"expected a query for each at least: {room}={queries}, or more queries"
        )


def _weighed(parts: tuple, weights: Weights):
    """The sum of the losses of a set, (B,)."""
    return sum(weight * part for weight, part in zip(weights, parts, strict=True))
