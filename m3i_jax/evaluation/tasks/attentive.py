"""An attentive probe: one learned query over the patch tokens of a frozen encoder."""

import functools
import itertools
from typing import Annotated

import numpy as np
import optax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.probes import attentive as probe
from m3i_jax.evaluation.probes import grid
from m3i_jax.evaluation.probes.rows import HELD_OUT, TEST
from m3i_jax.evaluation.tasks.linear_grid import Views, result
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Count, CountOrOff, NotNegative, Positive, Seed
from m3i_jax.texts import OneOf

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
DECAYS = (5e-4, 1e-3, 5e-2)
RULE = optax.scale_by_adam(0.9, 0.95)  # made once: programs are compiled for it
WHAT, ADAMW = "attentive heads", "adamw, betas 0.9 and 0.95"


def attentive(
    *,
    form: Annotated[str, OneOf("capi", "aim")] = "capi",
    rates: tuple[Positive, ...] = RATES,
    decays: tuple[NotNegative, ...] = DECAYS,
    views: Views = grid.NEW,
    steps: Count | None = None,
    epochs: Positive = 100,
    warmup: CountOrOff | None = None,
    batch: Count = 1024,
    choose: Annotated[str, OneOf(HELD_OUT, TEST)] = HELD_OUT,
    seed: Seed = 0,
) -> Task:
    """Heads that attend to patch tokens, one for each rate and decay, trained at once.

    AdamW (0.9, 0.95), linear warm-up, cosine to 0: CAPI (https://arxiv.org/abs/2502.08769).

    Args:
      form: "capi", with biases; "aim", without, tokens behind a batch norm without affine
        (https://arxiv.org/abs/2401.08541).
      rates: per 256 images of a batch.
      decays: of all weights but biases.
      views: "new" draws a crop of each image in each epoch, as published. A number encodes so many
        crops of each image once, which epochs take in turn; 0 = whole images: steps without an
        encoder, and the patch tokens of all images on disk.
      steps: of training; None = 12 500, as published, but no more than `epochs` take.
      epochs: the most times that training is seen where `steps` does not say it.
      warmup: steps; None = a tenth of them, as published.
      batch: images of a step.
      choose: the best head on a tenth of training that none learns from, as CAPI, or on "test".
      seed: of starts, order, crops and the tenth.

    Raises:
      ConfigError: nothing to train, or a warm-up that leaves nothing.
    """
    if not rates or not decays:
        raise ConfigError("rates and decays are one or more numbers each")
    schedule = functools.partial(_schedule, warmup)
    if steps is not None:
        schedule(steps)
    pairs = list(itertools.product(rates, decays))
    start = functools.partial(probe.start, biases=form == "capi")
    length = dict(batch=batch, steps=steps, epochs=epochs)
    training = dict(choose=choose, seed=seed, normalise=form == "aim", **length)
    plan = grid.Plan(probe.attend, start, RULE, schedule, *zip(*pairs, strict=True), **training)

    def measure(evaluation: Evaluation) -> Measured:
        if evaluation.model.network is None:
            raise NotMeasurable("an attentive probe needs patch tokens, and raw pixels have none")
        kinds = {"tokens": {"pool": "tokens"}}
        rows = grid.rows_of(evaluation, kinds, plan, views=views, what=WHAT)
        trained = grid.train(plan, rows, what=WHAT)
        rate, decay = pairs[trained.best]
        top1 = {f"{choose}_top1": trained.highest["tokens"]}
        return result(trained, rows, {"rate": rate, "decay": decay} | top1)

    settings = dict(form=form, rates=list(rates), decays=list(decays), views=views, **length)
    settings |= dict(warmup=warmup, choose=choose, seed=seed, pool="tokens", optimizer=ADAMW)
    return Task("attentive", "attentive probe", "top1", "share", settings, measure)


def _schedule(warmup: int | None, steps: int) -> np.ndarray:
    """CAPI's factors of the rate."""
    rising = steps // 10 if warmup is None else warmup
    if rising >= steps:
        raise ConfigError(f"a warm-up of {rising} steps leaves nothing of {steps}")
    return probe.schedule(steps, rising)
