"""How alike blocks are, of one model and of two: CKA of their Gram matrices in batches."""

import logging
from collections.abc import Iterator, Sequence
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from m3i_jax.analysis import similarity, tokens
from m3i_jax.analysis.measure import Look, Measure, Rows, Shown
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.ranges import Positive, Range
from m3i_jax.texts import OneOf
from m3i_jax.types import Array

LOG = logging.getLogger(__name__)
FEATURES = ("tokens", *tokens.POOLS)

Stack = Float[np.ndarray, "layers batch batch"]


def cka(
    *,
    batch: Annotated[int, Range(similarity.LEAST, 4096)] = 64,
    features: Annotated[str, OneOf(*FEATURES)] = "tokens",
    rbf: Positive | None = None,
    unbiased: bool = True,
) -> Measure:
    """CKA of every block with every other, and of the blocks of two models on the same images.

    The minibatch estimate of Nguyen et al. 2021, https://arxiv.org/abs/2010.15327, see
    `similarity.minibatch_cka`: what is kept of an image is its row of the Gram matrix of its batch.

    Args:
      batch: images that are compared with each other, at most those that are encoded at once.
      features: of an image, all "tokens" of a block side by side, the class token included; or the
        "mean" of the patches, or the class token "cls".
      rbf: a Gaussian kernel, whose bandwidth is this share of the median distance in a block; None
        = linear.
      unbiased: HSIC₁, by which batches say the same as all images at once; or the biased HSIC.
    """

    def look(evaluation: Evaluation) -> Look:
        _require_batches_of_any_devices(evaluation)
        vector = None if features == "tokens" else tokens.pooler(evaluation, pool=features)
        side = min(batch, evaluation.batch("test"))
        return Look(layers=lambda x: gram_rows(x if vector is None else vector(x), side))

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        return _shown(rows, rows, unbiased, rbf)

    def across(first: Rows, second: Rows) -> Shown:
        if first.batch != second.batch or not np.array_equal(first.index, second.index):
            raise NotMeasurable("they are compared on the same images in the same batches only")
        return _shown(first, second, unbiased, rbf)

    settings = {"batch": batch, "features": features, "rbf": rbf, "unbiased": unbiased}
    return Measure("cka", "CKA of blocks", "", settings, measure, look, across)


def _require_batches_of_any_devices(evaluation: Evaluation) -> None:
    """Raises NotMeasurable where the devices, and not the command, would decide the groups."""
    asked, batch = evaluation.at_once, evaluation.batch("test")
    if len(evaluation.source("test")) > batch > asked:
        raise NotMeasurable(
            f"{jax.device_count()} devices do not divide batches of {asked}, so the groups of "
            f"images that are compared would depend on them; --batch={batch} has the same groups "
            "everywhere"
        )


def gram_rows(x: Float[Array, "images ..."], side: int) -> Float[Array, "images {side}"]:
    """Each image's row of the Gram matrix of its group of `side` neighbours: (B, ...) -> (B, side).

    Where a last group is smaller, what its other columns hold means nothing.
    """
    count = x.shape[0]
    x = x.reshape(count, -1).astype(jnp.float32)
    x = jnp.pad(x, ((0, -count % side), (0, 0)), mode="edge")  # whose mean is like that of the rest
    grams = jax.vmap(similarity.gram)(x.reshape(-1, side, x.shape[1]))
    return grams.reshape(-1, side)[:count]


def stacks(
    blocks: Sequence[Float[np.ndarray, "images side"]],
    index: Int[np.ndarray, " images"],
    *,
    batch: int,
) -> list[Stack]:
    """The Gram matrices of all blocks, group by group, of the images that can be read.

    Groups of fewer than four are left out, as HSIC₁ needs as many.

    Args:
      blocks: what `gram_rows` made of batches.
      index: which records these are.
      batch: records in a batch of the pass.
    """
    side = blocks[0].shape[1]
    place = index % batch
    group = index // batch * -(-batch // side) + place // side
    members = np.split(np.arange(len(index)), np.flatnonzero(np.diff(group)) + 1)
    return [
        np.stack([block[np.ix_(rows, place[rows] % side)] for block in blocks])
        for rows in members
        if len(rows) >= similarity.LEAST
    ]


def _shown(first: Rows, second: Rows, unbiased: bool, rbf: float | None) -> Shown:
    """The table of the blocks of one model and of those of another, or of the same."""
    blocks = [*first.layers, *(() if second is first else second.layers)]
    grams = stacks(blocks, first.index, batch=first.batch)
    images = sum(stack.shape[-1] for stack in grams)
    if not images:
        raise NotMeasurable(f"CKA needs {similarity.LEAST} images in a batch that can be read")
    if left := len(first.index) - images:
        LOG.warning(
            "CKA: %d of %d images are left out, of batches of fewer than %d",
            left,
            len(first.index),
            similarity.LEAST,
        )
    kernels = grams if rbf is None else list(_gaussian(grams, rbf))
    table = similarity.minibatch_cka(kernels, unbiased=unbiased)
    if (constant := np.flatnonzero(np.isnan(table.diagonal()))).size:
        where = constant[0] % len(first.layers) + 1
        raise NotMeasurable(f"block {where} makes the same of all images, which has no CKA")
    rows = len(first.layers)
    matrix = table[:rows, 0 if second is first else rows :]
    labels = {
        axis: [str(number) for number in range(1, count + 1)]
        for axis, count in zip(("rows", "columns"), matrix.shape, strict=True)
    }
    protocol = {"batches": len(grams), "images_at_once": first.batch}
    return Shown("matrix", {"matrix": matrix}, labels, protocol, {"test": images})


def _gaussian(grams: list[Stack], share: float) -> Iterator[Stack]:
    """Gaussian kernels; a block has one bandwidth in all batches, else it would have several."""
    distances = [
        np.sqrt(similarity.squared_distances(stack)[:, *np.triu_indices(stack.shape[-1], 1)])
        for stack in grams
    ]
    bandwidths = share * np.median(np.concatenate(distances, axis=1), axis=1).astype(np.float64)
    for stack in grams:
        yield similarity.gaussian(stack.astype(np.float64), bandwidths)
