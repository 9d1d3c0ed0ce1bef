"""How often a run's own classifier is right, on whole images (M3I Table 4, "w/o fine-tuning").

What fine-tuning reports, too: the head that the labels trained, and not one that is fitted to the
features afterwards.
"""

from typing import Any

import jax.numpy as jnp

from m3i_jax.types import Array


def classifier(method: Any) -> tuple[str, str] | None:
    """(decoder, tower) of the first term that tells a label's row from the other rows of a table.

    None where no term does.
    """
    for term in method.terms.values():
        x, y = method.source_of(term.x)[1], method.codes[term.y]
        if y.view == "label" and x.encoder.tower == "image" and term.decoder is not None:
            return term.decoder, y.encoder.tower
    return None


def top1(network: Any, params: Any, names: tuple[str, str], images: Array, labels: Array) -> Array:
    """Share of the labelled images whose own category has the highest logit.

    Args:
      names: of the decoder and of the table, see `classifier`.
      images: (B, H, W, 3), normalised; not mixed, nothing hidden.
      labels: (B,) int, -1 = none, which does not count.
    """
    decoder, tower = names
    grid = network.towers["image"].grid
    how = dict(grid=grid, source=None, target=None, target_grid=grid, train=False)
    answer = network.decode(params, decoder, network.encode(params, "image", images), **how)
    rows = network.encode(params, tower, jnp.zeros(1, jnp.int32)).candidates
    right = (answer @ rows.T).argmax(-1) == labels
    return right.sum() / jnp.maximum((labels >= 0).sum(), 1)
