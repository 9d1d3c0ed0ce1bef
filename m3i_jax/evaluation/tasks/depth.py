"""Monocular depth: how far away every pixel is."""

from typing import Annotated

from m3i_jax import methods
from m3i_jax.evaluation.dense import goals
from m3i_jax.evaluation.dense.judged import AUTO, Whose, judged
from m3i_jax.evaluation.dense.probe import Plan, every_map
from m3i_jax.evaluation.dense.tested import Pair, Way
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks.segmentation import Decay, Factor
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.geometry.maps import Blocks
from m3i_jax.ranges import Ascending, Count, CountOrOff, Positive, Range, Seed, Share
from m3i_jax.texts import OneOf

Metres = Annotated[float, Range(1e-6, 1e6)]


def depth(
    *,
    head: Whose = AUTO,
    blocks: Blocks = "last",
    steps: Count = 2000,
    warmup: CountOrOff = 200,
    batch: Count = 16,
    rate: Positive = 3e-4,
    decay: Decay = 1e-4,
    scale: Annotated[tuple[Factor, Factor], Ascending()] = (1.0, 1.0),
    mirrored: Share = 0.5,
    minimum: Metres = 1e-3,
    maximum: Metres = 10.0,
    crop: Annotated[str, OneOf(*goals.CROPS)] = "none",
    base: Pair | None = None,
    window: Pair | None = None,
    flip: bool = False,
    seed: Seed = 0,
) -> Task:
    """RMSE and others of a linear head of bins on frozen maps, or of the head of a run.

    A product with every cell gives weights of 256 depths between `minimum` and `maximum` (AdaBins,
    Bhat et al. 2021, https://arxiv.org/abs/2011.14141; DINOv2, Oquab et al. 2024,
    https://arxiv.org/abs/2304.07193). Errors are over the measured pixels of each image, then the
    mean over images.

    Args:
      head: "own", that of the model's run; "linear", a new one; "auto", its own where it has one.
      blocks: whose maps a new head reads, "last", "stages", or numbers of blocks from 1.
      steps, warmup, batch: of training.   rate, decay: its highest rate, and the weight decay.
      scale: range of the factor by which training images are resized; published ones are not.
      mirrored: probability of the mirror image in training.
      minimum, maximum: depths that a head can say, and that count (NYU: 10, KITTI: 80).
      crop: what of an image counts, "garg" or "eigen" of KITTI, "nyu" of NYU, "none" = all.
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
    within = dict(minimum=minimum, maximum=maximum)

    def measure(evaluation: Evaluation) -> Measured:
        ends = dict(min_depth=minimum, max_depth=maximum)
        reads = dict(name="depth_bins", maps=every_map(evaluation.model, blocks), **ends)
        length = dict(batch=batch, steps=steps, warmup=warmup, seed=seed)
        how = dict(whose=head, plan=Plan("depth", reads, crops, optimizer, **length), way=way)
        how["method"] = lambda: methods.depth(blocks=blocks)
        found, protocol = judged(evaluation, goals.of_depth(crop=crop, **within), **how)
        return Measured(found.numbers, protocol, {"test": found.images}, found.intervals)

    settings = dict(head=head, blocks=blocks, steps=steps, warmup=warmup, batch=batch, rate=rate)
    settings |= dict(decay=decay, scale=scale, mirrored=mirrored, crop=crop, seed=seed)
    settings |= within | way._asdict()
    return Task("depth", "depth", "rmse", "metres", settings, measure, lower=True)
