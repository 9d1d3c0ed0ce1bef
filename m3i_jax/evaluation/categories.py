"""How often a run's own classifier is right, on whole images (M3I Table 4, "w/o fine-tuning").

What fine-tuning reports, too: the head that the labels trained, and not one that is fitted to the
features afterwards.
"""

from typing import Any

import jax.numpy as jnp

from m3i_jax.types import Array


def logits(network: Any, params: Any, names: tuple[str, str], images: Array) -> Array:
    """Scores of all categories: (B, H, W, 3), normalised; not mixed, nothing hidden -> (B, C).

    names: of the decoder and of the table, see `Method.classifier`.
    """
    decoder, tower = names
    grid = network.towers["image"].grid
    how = dict(grid=grid, source=None, target=None, target_grid=grid, train=False)
    answer = network.decode(params, decoder, network.encode(params, "image", images), **how)
    rows = network.encode(params, tower, jnp.zeros(1, jnp.int32)).candidates
    return answer @ rows.T


def top1(network: Any, params: Any, names: tuple[str, str], images: Array, labels: Array) -> Array:
    """Share of the labelled images whose own category has the highest logit.

    Args:
      names, images: see `logits`.
      labels: (B,) int, -1 = none, which does not count.
    """
    right = logits(network, params, names, images).argmax(-1) == labels
    return right.sum() / jnp.maximum((labels >= 0).sum(), 1)
