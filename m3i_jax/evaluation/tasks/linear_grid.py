"""DINOv2's linear evaluation: heads of many rates on several kinds of features."""

from typing import Annotated, Any

import jax
import numpy as np
import optax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.probes import grid, heads
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Blocks, Count, CountOrOff, Positive, Seed
from m3i_jax.texts import OneOf

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
RULE = optax.trace(0.9)  # made once: programs are compiled for it

Pool = Annotated[str, OneOf("mean", "cls", "both")]


def linear_grid(
    *,
    rates: tuple[Positive, ...] = RATES,
    blocks: tuple[Blocks, ...] = (1, 4),
    pools: tuple[Pool, ...] = (),
    views: CountOrOff = 0,
    steps: Count = 12500,
    batch: Count = 1024,
    choose: Annotated[str, OneOf(grid.HELD_OUT, grid.TEST)] = grid.HELD_OUT,
    seed: Seed = 0,
) -> Task:
    """A grid of linear heads, trained at once (Oquab et al. 2024, App. B.3, arXiv 2304.07193).

    SGD with momentum 0.9, no decay, cosine to 0.

    Args:
      rates: per 256 images of a batch.
      blocks: of how many last blocks features are; more than there are are left out.
      pools: of the features, see `pooling`; () = "cls" and "both" of an encoder with a class token,
        "mean" of others.
      views: random crops of each training image, of which each epoch takes the next; 0 = whole
        images, features that other tasks have made. The paper has a new crop in each epoch.
      steps, batch: of training.
      choose: the best head on a tenth of training that none learns from, or on "test" as the paper.
      seed: of starts, order, crops and the tenth.

    Raises:
      ConfigError: nothing to train.
    """
    if not rates or not blocks:
        raise ConfigError("rates and blocks are one or more numbers each")
    optimizer = heads.Optimizer(RULE, heads.cosine(steps))
    start, still = heads.linear_start, np.zeros(len(rates))
    plan = grid.Plan(heads.linear, start, optimizer, rates, still, batch, choose, seed)

    def measure(evaluation: Evaluation) -> Measured:
        found = {}
        for how in inputs(evaluation, pools, blocks):
            train, test = evaluation.labelled(what="a linear probe", **how)
            crops = grid.crops(evaluation, views, seed=seed, **how)
            what = f"linear heads on {how.get('pool', 'pixels')} of {how.get('blocks', 1)} blocks"
            trained = grid.train(plan, (train, test), views=crops, what=what)
            found[what.removeprefix("linear heads on ")] = (trained, test)
        name = max(found, key=lambda name: found[name][0].shares.max())
        trained, test = found[name]
        shares = {name: float(one.shares.max()) for name, (one, _) in found.items()}
        chosen = {"features": name, "rate": rates[trained.best], f"{choose}_top1": shares}
        counts = {"train": len(grid.split(len(train.labels), plan)[0]), "test": len(test.labels)}
        tally = grid.measured(plan, trained, test)
        return Measured(tally.metrics, {"chosen": chosen}, counts, tally.intervals)

    settings = dict(rates=list(rates), blocks=list(blocks), pool=list(pools) or "auto")
    settings |= dict(views=views, steps=steps, batch=batch, choose=choose, seed=seed)
    settings["optimizer"] = "sgd, momentum 0.9"
    return Task("linear_grid", "linear probe, best of a grid", "top1", "share", settings, measure)


def inputs(
    evaluation: Evaluation, pools: tuple[str, ...], blocks: tuple[int, ...]
) -> list[dict[str, Any]]:
    """What `Evaluation.features` is asked for: each way of pooling, of each number of blocks."""
    model = evaluation.model
    if model.network is None:
        return [{}]
    images = jax.ShapeDtypeStruct((1, evaluation.image, evaluation.image, 3), np.uint8)
    shown = jax.eval_shape(
        lambda params, x: evaluation.encode(params, x, layers=True), model.params, images
    )
    pools = pools or (("mean",) if shown.pooled is None else ("cls", "both"))
    there = [count for count in blocks if count <= len(shown.layers)]
    if not there:
        raise ConfigError(f"blocks is {blocks}, but the encoder has {len(shown.layers)}")
    return [{"pool": pool, "blocks": count} for count in there for pool in pools]
