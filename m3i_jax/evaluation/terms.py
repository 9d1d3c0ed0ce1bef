"""What a run's own terms say of whole images: their category, or their text.

The head that labels or captions have trained, and none that is fitted to the features afterwards:
M3I's "w/o fine-tuning" (Table 4), what fine-tuning reports, zero-shot and retrieval.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int

from m3i_jax.types import Array, Features


class Pair(NamedTuple):
    """What an image is told by, and what it is compared with.

    decoder: of the image's code.  tower: of the codes that it tells apart, a table or a text tower.
    heads: feature heads behind the image's tower.
    """

    decoder: str
    tower: str
    heads: tuple[str, ...] = ()


def pair(method: Any, view: str) -> Pair | None:
    """Of the first term that predicts a "label" or a "text" from an image; None where none does."""
    term = method.telling(view)
    if term is None:
        return None
    source, target = method.source_of(term.x)[1], method.codes[term.y]
    return Pair(term.decoder, target.encoder.tower, source.encoder.heads)


def lacking(network: Any, params: Any, pair: Pair) -> list[str]:
    """Which modules of a pair a branch of a checkpoint has no parameters of, as words.

    A head without any, such as `pooled` without a norm, is not among them.
    """
    wanted = [("encoders", "tower", "image"), ("encoders", "tower", pair.tower)]
    wanted += [("decoders", "decoder", name) for name in (*pair.heads, pair.decoder)]
    missing = [place for place in wanted if place[2] not in params.get(place[0], {})]
    if missing:
        whole = jax.eval_shape(network.init, jax.random.key(0))
        missing = [place for place in missing if jax.tree.leaves(whole[place[0]].get(place[2]))]
    return [f"{what} '{name}'" for _, what, name in missing]


def told(network: Any, params: Any, pair: Pair, features: Features) -> Float[Array, "batch dim"]:
    """What the decoder says of images, of which the tower "image" made `features`."""
    grid = network.towers["image"].grid
    for head in pair.heads:
        features = network.refine(params, head, features, grid=grid)
    geometry = dict(grid=grid, source=None, target=None, target_grid=grid, train=False)
    return network.decode(params, pair.decoder, features, **geometry)


def logits(
    network: Any, params: Any, pair: Pair, features: Features
) -> Float[Array, "batch classes"]:
    """Scores of all categories: what is told of an image, times the rows of the table."""
    rows = network.encode(params, pair.tower, jnp.zeros(1, jnp.int32)).candidates
    return jnp.matmul(told(network, params, pair, features), rows.T, precision="highest")


def top1(scores: Float[Array, "batch classes"], labels: Int[Array, " batch"]) -> Float[Array, ""]:
    """Share of the labelled images whose own category has the highest score; 0 of none."""
    right = scores.argmax(-1) == labels
    return right.sum() / jnp.maximum((labels >= 0).sum(), 1)
