"""Losses of heads that find objects by regions: what anchors and boxes say, against what they are.

Each is one value per image, whose mean over the batch is the loss: sums over the drawn places of an
image, divided by a number that all images share. Faster R-CNN (Ren et al. 2015, Eq. 1,
https://arxiv.org/abs/1506.01497) and Mask R-CNN (He et al. 2017, §3,
https://arxiv.org/abs/1703.06870), with the norms of detectron2
(https://github.com/facebookresearch/detectron2).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32

from m3i_jax.detection.federated import Few, compared
from m3i_jax.losses.prediction import bernoulli
from m3i_jax.types import Array, RegionAnswers

__all__ = [
    "anchor_boxes_l1",
    "anchor_objectness",
    "region_boxes_l1",
    "region_categories",
    "region_categories_federated",
    "region_categories_sigmoid",
    "region_masks",
]


def anchor_objectness(answers: RegionAnswers) -> Float32[Array, " batch"]:
    """Binary cross-entropy of what anchors say, over the drawn places of an image; (B,).

    Divided by all places, also where fewer anchors were drawn. Ren et al. 2015, Eq. 1,
    https://arxiv.org/abs/1506.01497.
    """
    loss = bernoulli(answers.anchor_logits, answers.anchor_positive.astype(jnp.float32))
    return _where(answers.anchor_valid, loss).sum(-1) / loss.shape[-1]


def anchor_boxes_l1(answers: RegionAnswers) -> Float32[Array, " batch"]:
    """|Δ − Δ*| of the four deltas of anchors that are objects, over all drawn places; (B,).

    Ren et al. 2015, Eq. 1, https://arxiv.org/abs/1506.01497, whose loss is smooth near 0.
    """
    loss = jnp.abs(answers.anchor_deltas - answers.anchor_targets).sum(-1)
    return _where(answers.anchor_positive, loss).sum(-1) / loss.shape[-1]


def region_categories(answers: RegionAnswers) -> Float32[Array, " batch"]:
    """Softmax cross-entropy of the categories of boxes and of background; (B,).

    Its mean over the batch is that over all boxes that were drawn in it. Girshick 2015, Eq. 1,
    https://arxiv.org/abs/1504.08083.
    """
    logits = answers.class_logits.astype(jnp.float32)
    index = answers.categories[..., None]
    loss = jax.nn.logsumexp(logits, -1) - jnp.take_along_axis(logits, index, -1)[..., 0]
    return _per_box(answers, _where(answers.region_valid, loss))


def region_categories_sigmoid(
    answers: RegionAnswers, *, classes: Bool[Array, "batch classes"] | None = None
) -> Float32[Array, " batch"]:
    """Binary cross-entropies of each category by itself, their sum for every box; (B,).

    Background is what is no category: the last logit is not read. As ViTDet (Li et al. 2022,
    https://arxiv.org/abs/2203.16527) learns LVIS.

    classes: (B, C) which are compared in an image; None = all.
    """
    logits = answers.class_logits[..., :-1]
    right = jnp.arange(logits.shape[-1])[None, None] == answers.categories[..., None]
    loss = bernoulli(logits, right.astype(jnp.float32))
    if classes is not None:
        loss = jnp.where(classes[:, None], loss, 0.0)
    return _per_box(answers, _where(answers.region_valid, loss.sum(-1)))


def region_categories_federated(
    answers: RegionAnswers, shown: Float[Array, "batch classes"], *, count: Few = 50
) -> Float32[Array, " batch"]:
    """`region_categories_sigmoid` over `count` categories of an image, see `detection.compared`.

    Those of its boxes, and others by the root of how many images show them: a federated loss (Zhou
    et al. 2021, https://arxiv.org/abs/2103.07461, as ViTDet has it on LVIS).

    shown: how many images of the data show each category.

    Raises:
      ValueError: the head draws no lots, as its categories exclude each other.
    """
    if answers.lots is None:
        raise ValueError("categories of the head exclude each other: set its softmax=False")
    kinds = jnp.where(answers.region_valid, answers.categories, -1)
    classes = compared(answers.lots, kinds, shown, count=count)
    return region_categories_sigmoid(answers, classes=classes)


def region_boxes_l1(answers: RegionAnswers) -> Float32[Array, " batch"]:
    """|Δ − Δ*| of the four deltas of boxes that are objects, over all boxes of the batch; (B,).

    Girshick 2015, Eq. 1, https://arxiv.org/abs/1504.08083, whose loss is smooth near 0.
    """
    loss = jnp.abs(answers.region_deltas - answers.region_targets).sum(-1)
    return _per_box(answers, _where(answers.region_positive, loss))


def region_masks(answers: RegionAnswers) -> Float32[Array, " batch"]:
    """Binary cross-entropy of the cells of masks, the mean over those of the batch; (B,).

    0 where there is no object in the batch. He et al. 2017, §3, https://arxiv.org/abs/1703.06870.

    Raises:
      ValueError: the head says no masks, or nobody has said which are right.
    """
    if answers.mask_logits is None:
        raise ValueError("the head says no masks: set masks=True, and ask for objects' outlines")
    loss = bernoulli(answers.mask_logits, answers.mask_targets).mean((-2, -1))
    valid = answers.mask_valid
    total = valid.sum().astype(jnp.float32)
    return _where(valid, loss).sum(-1) * len(loss) / jnp.maximum(total, 1.0)


def _per_box(
    answers: RegionAnswers, loss: Float[Array, "batch _boxes"]
) -> Float32[Array, " batch"]:
    """Sums of images, so that the mean over the batch is the one over its boxes."""
    total = answers.region_valid.sum().astype(jnp.float32)
    return loss.sum(-1) * len(loss) / jnp.maximum(total, 1.0)


def _where(valid: Bool[Array, "*positions"], loss: Float[Array, "*positions"]) -> Array:
    return jnp.where(valid, loss, 0.0)
