"""Semantic segmentation by nearest cells: no training, no settings but k, τ and the bank."""

from typing import Annotated

from m3i_jax.data.sources.annotation_names import categories
from m3i_jax.evaluation.dense import goals, neighbours
from m3i_jax.evaluation.dense.judged import held
from m3i_jax.evaluation.dense.neighbours import Cells, Neighbours
from m3i_jax.evaluation.dense.tested import Pair, Way
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.progress import counted
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.geometry.maps import Blocks
from m3i_jax.parallel import processes
from m3i_jax.ranges import Count, Pixels, Range, Seed


def knn_segmentation(
    *,
    k: Count = 30,
    temperature: Annotated[float, Range(0, 100, above=True)] = 0.07,
    bank: Count = 20_480,
    blocks: Blocks = "last",
    patch: Pixels = 8,
    base: Pair | None = None,
    window: Pair | None = None,
    flip: bool = False,
    seed: Seed = 0,
) -> Task:
    """mIoU of a cosine vote of the k nearest cells of training images, for every cell of test ones.

    A cell votes by exp(cos/τ) for the categories of its pixels, by their shares of it (weights:
    DINO, Caron et al. 2021, https://arxiv.org/abs/2104.14294; cells of a bank that is bounded:
    Balažević et al. 2023, https://arxiv.org/abs/2306.01667, with k = 30). What is said of cells is
    brought to pixels bilinearly; the counts are those of `segmentation`.

    Args:
      k: how many cells vote.   temperature: τ.
      bank: cells at most, as many of each training image, its categories taking turns.
      blocks: whose maps, "last", "stages", or numbers of blocks from 1.
      patch: side of a cell of raw pixels, which have no maps.
      base: long and short side that an image is fitted into; None = its own size.
      window: side and stride of a sliding-window test, in pixels; None = all at once.
      flip: whether the answer to the mirror image counts, too.
      seed: of which cells are drawn.

    Raises:
      ConfigError: windows with gaps between them.
    """
    way = Way.of(base, window, flip=flip)

    def measure(evaluation: Evaluation) -> Measured:
        source = evaluation.source("train")
        count, cells = categories(source), Cells.of(evaluation.model, blocks, patch=patch)
        share, total = processes.own_share(), min(len(source), bank)
        far = dict(total=-(-total // share.count), unit=(share.count, "images"))
        told = lambda rows: counted(rows, "bank of cells: image", **far)  # noqa: E731
        reads = dict(base=way.base, batch=evaluation.at_once, seed=seed, seen=told, share=share)
        voters = neighbours.collected(cells, source, classes=count, most=bank, **reads)
        params = {"encoder": cells.params, "bank": voters}
        predictor = Neighbours(cells.apply, params, cells.stride, k, temperature)
        goal = goals.of_categories(count)
        found = held(evaluation, goal, predictor, way=way, what="kNN segmentation")
        protocol = {"train": total, "cells": len(voters.shares)}
        return Measured(found.numbers, protocol, {"test": found.images}, found.intervals)

    settings = dict(k=k, temperature=temperature, bank=bank, blocks=blocks, patch=patch, seed=seed)
    settings |= way._asdict()
    title = f"kNN segmentation, k = {k}"
    return Task("knn_segmentation", title, "miou", "share", settings, measure)
