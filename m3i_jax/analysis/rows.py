"""One forward pass in which every block is looked at, whatever is asked for together."""

import functools
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from m3i_jax.analysis.measure import Blocks, Look, Rows
from m3i_jax.evaluation.evaluation import Evaluation, Transform
from m3i_jax.parallel.constrain import by_rows
from m3i_jax.types import Array, Scores

LOG = logging.getLogger(__name__)
KINDS = ("attention", "layers")
PART = 2**23  # bytes of scores that are looked at in one go, about what a processor's cache holds


def observed(
    evaluation: Evaluation,
    looks: Mapping[str, Look],
    *,
    split: str = "test",
    transform: Transform | None = None,
) -> dict[str, Rows]:
    """What looks bring back from the images of a split, by name; {} where there are none.

    A row of all numbers of an image is what `Evaluation.mapped` makes and keeps: so it is computed
    on all devices, once, and padding never counts.

    looks: by a name that says all that decides it, beside the model and the data.
    transform: of the images.
    """
    if not looks:
        return {}
    blocks = functools.partial(looked, evaluation, looks)
    batch = evaluation.batch(split)
    images = jax.ShapeDtypeStruct((batch, evaluation.image, evaluation.image, 3), np.uint8)
    shapes = jax.eval_shape(blocks, evaluation.model.params, images)
    name = f"looks {sorted(looks)} in batches of {batch}"
    apply = lambda params, x: packed(blocks(params, x))  # noqa: E731
    table = evaluation.mapped(split, apply, name=name, transform=transform)
    trees = unpacked(table.features, shapes)
    return {
        key: Rows(*(trees[kind].get(key, ()) for kind in KINDS), table.index, table.labels, batch)
        for key in looks
    }


def looked(evaluation: Evaluation, looks: Mapping[str, Look], params: Any, images: Array) -> dict:
    """{kind: {name: one tree of (B, ...) for each block}} of a batch of uint8 images."""
    asked = {kind: _together(looks, kind) for kind in KINDS}
    observers = {kind: observer for kind, observer in asked.items() if observer is not None}
    features = evaluation.encode(params, images, **observers)
    return {
        kind: _by_name(_each_block(getattr(features, kind)) if kind in observers else [])
        for kind in KINDS
    }


def _together(looks: Mapping[str, Look], kind: str) -> Callable[..., Any] | None:
    """One observer of a block for all looks; None where none of them asks."""
    observers = {
        name: observer for name, look in looks.items() if (observer := getattr(look, kind))
    }
    if not observers:
        return None

    def observe(seen):
        return {name: observer(seen) for name, observer in observers.items()}

    return functools.partial(_in_parts, observe) if kind == "attention" else observe


def _in_parts(observe: Callable[[Scores], Any], scores: Scores) -> Any:
    """What `observe` makes of a block's scores, a few images at a time.

    So what it computes on the way, often several arrays of their size, is in memory for those few.
    """
    batch = len(scores.logits)
    of_each = lambda x: jnp.broadcast_to(x[None], (batch, *x.shape))  # noqa: E731
    where = jax.tree.map(of_each, scores._replace(logits=None))
    leaves, structure = jax.tree.flatten(where._replace(logits=scores.logits))

    def one(leaves):
        image = jax.tree.unflatten(structure, leaves)
        return jax.tree.map(lambda x: x[0], observe(image._replace(logits=image.logits[None])))

    at_once = max(1, PART // (scores.logits.nbytes // batch))
    return by_rows(lambda *rows: jax.lax.map(one, rows, batch_size=at_once), *leaves)


def _each_block(kept: Any) -> list[dict[str, Any]]:
    """What was kept, block by block: encoders with stages give a tuple, others stack over depth."""
    if isinstance(kept, tuple | list):
        return list(kept)
    depth = len(jax.tree.leaves(kept)[0])
    return [jax.tree.map(lambda leaf, number=number: leaf[number], kept) for number in range(depth)]


def _by_name(blocks: list[dict[str, Any]]) -> dict[str, Blocks]:
    return {name: tuple(block[name] for block in blocks) for name in (blocks or [{}])[0]}


def packed(tree: Any) -> Float[Array, "batch numbers"]:
    """All numbers of each image in one row, (B, n) float32."""
    leaves = jax.tree.leaves(tree)
    flat = [leaf.astype(jnp.float32).reshape(leaf.shape[0], -1) for leaf in leaves]
    return jnp.concatenate(flat, axis=1)


def unpacked(rows: Float[Array, "images numbers"], shapes: Any) -> Any:
    """The inverse of `packed` for all images: the tree with arrays (N, ...)."""
    leaves, structure = jax.tree.flatten(shapes)
    ends = np.cumsum([math.prod(leaf.shape[1:]) for leaf in leaves])
    columns = np.split(rows, ends[:-1], axis=1)
    whole = [
        np.asarray(column).reshape(len(rows), *leaf.shape[1:])
        for column, leaf in zip(columns, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, whole)
