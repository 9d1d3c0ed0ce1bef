"""An attentive probe: one learned query over the patch tokens of a frozen encoder."""

import functools
import itertools
from typing import Annotated

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

WHAT = "attentive heads"
FORMS = {"capi": probe.CAPI, "aim": probe.AIM}


def attentive(
    *,
    form: Annotated[str, OneOf(*FORMS)] = "capi",
    rates: tuple[Positive, ...] | None = None,
    decays: tuple[NotNegative, ...] | None = None,
    views: Views = grid.NEW,
    steps: Count | None = None,
    epochs: Positive = 100,
    warmup: CountOrOff | None = None,
    batch: Count = 1024,
    choose: Annotated[str, OneOf(HELD_OUT, TEST)] = HELD_OUT,
    seed: Seed = 0,
) -> Task:
    """Heads that attend to patch tokens, one for each rate and decay, trained at once.

    AdamW, linear warm-up, cosine: CAPI (https://arxiv.org/abs/2502.08769), or AIM, whose schedule
    AIMv2 has published (https://arxiv.org/abs/2411.14402, Table A2).

    Args:
      form: head, grid and schedule, see `probes.attentive.Form`; "aim" has no biases, normalised
        tokens (https://arxiv.org/abs/2401.08541), and RandAugment of new crops.
      rates: per 256 images of a batch; None = as the form.
      decays: of all weights but biases; None = as the form.
      views: "new" draws a crop of each image in each epoch, as published. A number encodes so many
        crops of each image once, which epochs take in turn; 0 = whole images: steps without an
        encoder, and the patch tokens of all images on disk.
      steps: of training; None = as many as `epochs` take, of CAPI 12 500 at most, as published.
      epochs: the most times that training is seen where `steps` does not say it.
      warmup: steps; None = a tenth of them (CAPI) or a twentieth (AIM), as published.
      batch: images of a step.
      choose: the best head on a tenth of training that none learns from, as CAPI, or on "test".
      seed: of starts, order, crops and the tenth.

    Raises:
      ConfigError: nothing to train, a rate below the least one, a warm-up that leaves nothing.
    """
    of, pairs = FORMS[form], _pairs(FORMS[form], rates, decays)
    if steps is not None:
        of.factors(steps, warmup)
    length = dict(batch=batch, steps=steps, epochs=epochs)
    start = functools.partial(probe.start, biases=of.biases)
    factors = functools.partial(of.factors, warmup=warmup)
    training = dict(normalise=of.normalise, floor=of.floor, most=of.most, choose=choose, seed=seed)
    training |= length
    plan = grid.Plan(probe.attend, start, of.rule, factors, *zip(*pairs, strict=True), **training)

    def measure(evaluation: Evaluation) -> Measured:
        if evaluation.model.network is None:
            raise NotMeasurable("an attentive probe needs patch tokens, and raw pixels have none")
        how = dict(views=views, what=WHAT, rand_augment=of.rand_augment)
        rows = grid.rows_of(evaluation, {"tokens": {"pool": "tokens"}}, plan, **how)
        trained = grid.train(plan, rows, what=WHAT)
        rate, decay = pairs[trained.best]
        top1 = {f"{choose}_top1": trained.highest["tokens"]}
        return result(trained, rows, {"rate": rate, "decay": decay} | top1)

    grids = (list(dict.fromkeys(column)) for column in zip(*pairs, strict=True))
    settings = dict(zip(("rates", "decays"), grids, strict=True), form=form, views=views, **length)
    settings |= dict(warmup=warmup, choose=choose, seed=seed, pool="tokens", optimizer=of.said)
    return Task("attentive", "attentive probe", "top1", "share", settings, measure)


def _pairs(
    of: probe.Form, rates: tuple[float, ...] | None, decays: tuple[float, ...] | None
) -> list[tuple[float, float]]:
    """Every rate with every decay, those of the form where none are said."""
    rates = of.rates if rates is None else rates
    decays = of.decays if decays is None else decays
    if not rates or not decays:
        raise ConfigError("rates and decays are one or more numbers each")
    if min(rates) < of.floor:
        raise ConfigError(f"rates of this form fall to {of.floor:g}, and {min(rates):g} is less")
    return list(itertools.product(rates, decays))
