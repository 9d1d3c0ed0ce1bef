"""Semantic segmentation: which category every pixel is of."""

from typing import Annotated

from m3i_jax import methods
from m3i_jax.data.sources.annotation_names import categories
from m3i_jax.evaluation.dense import goals
from m3i_jax.evaluation.dense.judged import AUTO, Whose, judged
from m3i_jax.evaluation.dense.probe import Plan, every_map
from m3i_jax.evaluation.dense.tested import Pair, Way
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.geometry.maps import Blocks
from m3i_jax.ranges import Ascending, Count, CountOrOff, Positive, Range, Seed, Share

Factor = Annotated[float, Range(0.05, 20, why="of a side")]
Decay = Annotated[float, Range(0, 10)]


def segmentation(
    *,
    head: Whose = AUTO,
    blocks: Blocks = "last",
    steps: Count = 2000,
    warmup: CountOrOff = 75,
    batch: Count = 16,
    rate: Positive = 1e-3,
    decay: Decay = 1e-3,
    scale: Annotated[tuple[Factor, Factor], Ascending()] = (0.5, 2.0),
    mirrored: Share = 0.5,
    base: Pair | None = None,
    window: Pair | None = None,
    flip: bool = False,
    seed: Seed = 0,
) -> Task:
    """mIoU of a linear head on frozen maps, or of the head that a run has trained.

    Batch norm and a product with every cell of the maps, AdamW, a cosine (DINOv3, Siméoni et al.
    2025, https://arxiv.org/abs/2508.10104, with 40 000 steps and a warm-up of 1500); one table of
    counts over all test pixels, at the size that each image has.

    Args:
      head: "own", that of the model's run; "linear", a new one; "auto", its own where it has one.
      blocks: whose maps a new head reads, "last", "stages", or numbers of blocks from 1.
      steps, warmup, batch: of training.   rate, decay: its highest rate, and the weight decay.
      scale: range of the factor by which training images are resized.
      mirrored: probability of the mirror image in training.
      base: long and short side of what is shown; None = as a run's head was trained, or its own.
      window: side and stride of a sliding-window test, in pixels; None = all at once.
      flip: whether the answer to the mirror image counts, too.
      seed: of the head, the order and the crops.

    Raises:
      ConfigError: windows with gaps between them.
    """
    way = Way.of(base, window, flip=flip)
    crops = dict(name="scale_jitter", base=way.base, scale=scale, flip=mirrored)
    optimizer = dict(name="adamw", lr=rate, weight_decay=decay, b2=0.999)

    def measure(evaluation: Evaluation) -> Measured:
        count = categories(evaluation.source("train"))
        reads = dict(name="dense_linear", maps=every_map(evaluation.model, blocks))
        length = dict(batch=batch, steps=steps, warmup=warmup, seed=seed)
        plan = Plan("segmentation", reads, crops, optimizer, **length)
        method = lambda: methods.segmentation(classes=count, blocks=blocks)  # noqa: E731
        goal = goals.of_categories(count)
        how = dict(whose=head, plan=plan, way=way)
        found, protocol = judged(evaluation, goal, method=method, **how)
        return Measured(found.numbers, protocol, {"test": found.images}, found.intervals)

    settings = dict(head=head, blocks=blocks, steps=steps, warmup=warmup, batch=batch, rate=rate)
    settings |= dict(decay=decay, scale=scale, mirrored=mirrored, seed=seed, **way._asdict())
    return Task("segmentation", "segmentation", "miou", "share", settings, measure)
