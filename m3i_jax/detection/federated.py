"""Which of many categories an image is learned by: those that are there, and some that are drawn.

Where a data set has a thousand categories, nobody has looked for all of them in every image, and
most are rare: as wrong answers everywhere they would be unlearned (LVIS, Gupta et al. 2019,
https://arxiv.org/abs/1908.03195).
"""

from typing import Annotated

import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from m3i_jax.ranges import NotNegative, Range
from m3i_jax.types import Array

__all__ = ["compared"]

Few = Annotated[int, Range(1, 100_000)]


def compared(
    lots: Float[Array, "batch classes"],
    categories: Int[Array, "batch _regions"],
    shown: Float[Array, "batch classes"],
    *,
    count: Few = 50,
    power: NotNegative = 0.5,
) -> Bool[Array, "batch classes"]:
    """The categories of the boxes of each image, and as many others as `count` lacks; (B, C).

    The others are drawn one after the other, each with a probability of shown^power over the sum of
    those that are left. Background counts as one of `count` where a box is of it, and is none of
    the answer; where more are there than `count`, all of these are compared and no other.

    Zhou et al. 2021 (https://arxiv.org/abs/2103.07461), as detectron2 has it
    (`get_fed_loss_classes`, https://github.com/facebookresearch/detectron2), there over the images
    of a device, of which ViTDet has one.

    Args:
      lots: uniform on [0, 1): of clocks with these rates those that ring first are drawn, so that
        the same lots always give the same categories.
      categories: of boxes; C = background, −1 = there is no box.
      shown: how many images of the data have each category; one of 0 is never drawn.
    """
    classes = shown.shape[-1]
    kinds = jnp.arange(classes + 1)[None, :, None]
    there = (categories[:, None] == kinds).any(-1)
    left = count - there.sum(-1, keepdims=True)
    there = there[:, :-1]
    rate = jnp.asarray(shown, jnp.float32) ** power
    others = ~there & (shown > 0)
    rings = jnp.where(others, -jnp.log(lots) / jnp.where(others, rate, 1.0), jnp.inf)
    last = jnp.take_along_axis(jnp.sort(rings, -1), jnp.clip(left - 1, 0, classes - 1), -1)
    return there | ((left > 0) & others & (rings <= last))
