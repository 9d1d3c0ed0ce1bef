"""An attentive probe: one learned query over the patch tokens of a frozen encoder."""

import functools
import itertools
from typing import Annotated

import numpy as np
import optax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import attentive as probe
from m3i_jax.evaluation.probes import grid, heads
from m3i_jax.evaluation.probes.probe import statistics
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Count, CountOrOff, NotNegative, Positive, Seed
from m3i_jax.texts import OneOf

RATES = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2)
DECAYS = (5e-4, 1e-3, 5e-2)
RULE = optax.scale_by_adam(0.9, 0.95)  # made once: programs are compiled for it


def attentive(
    *,
    form: Annotated[str, OneOf("capi", "aim")] = "capi",
    rates: tuple[Positive, ...] = RATES,
    decays: tuple[NotNegative, ...] = DECAYS,
    views: CountOrOff = 0,
    steps: Count = 12500,
    warmup: CountOrOff = 1250,
    batch: Count = 1024,
    choose: Annotated[str, OneOf(grid.HELD_OUT, grid.TEST)] = grid.HELD_OUT,
    seed: Seed = 0,
) -> Task:
    """Heads that attend to patch tokens, one for each rate and decay, trained at once.

    AdamW (0.9, 0.95), linear warm-up, cosine to 0: CAPI (https://arxiv.org/abs/2502.08769).

    Args:
      form: "capi", with biases; "aim", without, tokens normalised (https://arxiv.org/abs/2401.08541).
      rates: per 256 images of a batch.
      decays: of all weights but biases.
      views: random crops of each training image, of which each epoch takes the next; 0 = whole
        images. The paper has a new crop in each epoch.
      steps, warmup, batch: of training.
      choose: the best head on a tenth of training that none learns from, as CAPI, or on "test".
      seed: of starts, order, crops and the tenth.

    Raises:
      ConfigError: nothing to train, or a warm-up that leaves nothing.
    """
    if not rates or not decays:
        raise ConfigError("rates and decays are one or more numbers each")
    if warmup >= steps:
        raise ConfigError(f"a warm-up of {warmup} steps leaves nothing of {steps}")
    pairs = list(itertools.product(rates, decays))
    start = functools.partial(probe.start, biases=form == "capi")
    optimizer = heads.Optimizer(RULE, probe.schedule(steps, warmup))
    plan = grid.Plan(probe.attend, start, optimizer, *zip(*pairs, strict=True), batch, choose, seed)

    def measure(evaluation: Evaluation) -> Measured:
        if evaluation.model.network is None:
            raise NotMeasurable("an attentive probe needs patch tokens, and raw pixels have none")
        train, test = evaluation.labelled(what="an attentive probe", pool="tokens")
        crops = grid.crops(evaluation, views, seed=seed, pool="tokens")
        if form == "aim":
            train, test, *crops = _normalised(train, test, *crops)
        trained = grid.train(plan, (train, test), views=crops, what="attentive heads")
        rate, decay = pairs[trained.best]
        chosen = {"rate": rate, "decay": decay, f"{choose}_top1": float(trained.shares.max())}
        counts = {"train": len(grid.split(len(train.labels), plan)[0]), "test": len(test.labels)}
        tally = grid.measured(plan, trained, test)
        return Measured(tally.metrics, {"chosen": chosen}, counts, tally.intervals)

    settings = dict(form=form, rates=list(rates), decays=list(decays), views=views, steps=steps)
    settings |= dict(warmup=warmup, batch=batch, choose=choose, seed=seed)
    settings |= {"optimizer": "adamw, betas 0.9 and 0.95", "pool": "tokens"}
    return Task("attentive", "attentive probe", "top1", "share", settings, measure)


def _normalised(train: FeatureSet, *others: FeatureSet) -> list[FeatureSet]:
    """By mean and variance over all training tokens: AIM's batch norm, at its limit."""
    width = train.features.shape[-1]
    mean, scale = (x.astype(np.float32) for x in statistics(train.features.reshape(-1, width)))
    return [t._replace(features=(t.features - mean) * scale) for t in (train, *others)]
