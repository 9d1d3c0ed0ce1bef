"""DINOv2's linear evaluation: heads of many rates on several kinds of features."""

from typing import Annotated, Any

import jax
import numpy as np
import optax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.probes import grid, heads
from m3i_jax.evaluation.probes.rows import HELD_OUT, TEST, Rows
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Blocks, Count, CountOrOff, Positive, Seed
from m3i_jax.texts import OneOf

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1)
RULE = optax.trace(0.9)  # made once: programs are compiled for it
WHAT = "linear heads"

Pool = Annotated[str, OneOf("mean", "cls", "both")]
Views = CountOrOff | Annotated[str, OneOf(grid.NEW)]


def linear_grid(
    *,
    rates: tuple[Positive, ...] = RATES,
    blocks: tuple[Blocks, ...] = (1, 4),
    pools: tuple[Pool, ...] = (),
    views: Views = grid.NEW,
    steps: Count | None = None,
    epochs: Positive = 100,
    batch: Count = 1024,
    choose: Annotated[str, OneOf(HELD_OUT, TEST)] = HELD_OUT,
    seed: Seed = 0,
) -> Task:
    """A grid of linear heads, trained at once (Oquab et al. 2024, App. B.3, arXiv 2304.07193).

    SGD with momentum 0.9, no decay, cosine to 0; all heads share one frozen forward pass of a step.

    Args:
      rates: per 256 images of a batch.
      blocks: of how many last blocks features are; more than there are are left out.
      pools: of the features, see `pooling`; () = "cls" and "both" of an encoder with a class token,
        "mean" of others.
      views: "new" draws a crop of each image in each epoch, as published. A number encodes so many
        crops of each image once, which epochs take in turn; 0 = whole images, features that other
        tasks have made: steps without an encoder.
      steps: of training; None = 12 500, as published, but no more than `epochs` take.
      epochs: the most times that training is seen where `steps` does not say it.
      batch: images of a step.
      choose: the best head on a tenth of training that none learns from, or on "test" as the paper.
      seed: of starts, order, crops and the tenth.

    Raises:
      ConfigError: nothing to train.
    """
    if not rates or not blocks:
        raise ConfigError("rates and blocks are one or more numbers each")
    length = dict(batch=batch, steps=steps, epochs=epochs)
    still, training = np.zeros(len(rates)), dict(choose=choose, seed=seed, **length)
    plan = grid.Plan(heads.linear, heads.linear_start, RULE, heads.cosine, rates, still, **training)

    def measure(evaluation: Evaluation) -> Measured:
        kinds = {
            f"{kind.get('pool', 'pixels')} of {kind.get('blocks', 1)} blocks": kind
            for kind in inputs(evaluation, pools, blocks)
        }
        rows = grid.rows_of(evaluation, kinds, plan, views=views, what=WHAT)
        trained = grid.train(plan, rows, what=WHAT)
        chosen = {"features": trained.kind, "rate": rates[trained.best]}
        return result(trained, rows, chosen | {f"{choose}_top1": trained.highest})

    settings = dict(rates=list(rates), blocks=list(blocks), pool=list(pools) or "auto")
    settings |= dict(views=views, **length, choose=choose, seed=seed)
    settings["optimizer"] = "sgd, momentum 0.9"
    return Task("linear_grid", "linear probe, best of a grid", "top1", "share", settings, measure)


def result(trained: grid.Trained, rows: Rows, chosen: dict[str, Any]) -> Measured:
    """What a grid found; chosen: what the chosen head is."""
    counts = {"train": rows.learn, "test": trained.tested}
    protocol = {"steps": trained.steps, "batch": trained.batch, "chosen": chosen}
    return Measured(trained.tally.metrics, protocol, counts, trained.tally.intervals)


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
