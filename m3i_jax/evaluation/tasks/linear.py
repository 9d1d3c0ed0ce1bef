"""A linear probe: the exact optimum, or the papers' recipe."""

import jax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.probes.lars import lars
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.evaluation.probes.probe import logits, tally
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Positive, Seed

RECIPES = ("lbfgs", "lars")
BASE_LR = 3.2


def linear(
    *,
    recipe: str = "lbfgs",
    base_lr: Positive | None = None,
    seed: Seed = 0,
) -> Task:
    """A linear classifier on frozen features.

    Args:
      recipe: "lbfgs" solves the logistic regression exactly; "lars" is the papers' schedule of 90
        epochs at a batch of 16384 (M3I, Table 9, https://arxiv.org/abs/2211.09807).
      base_lr: of lars, per 16384 images of a batch, 3.2 in M3I: on far fewer images than
        ImageNet's it wants to be higher.
      seed: of the start and the order of lars.

    Raises:
      ConfigError: another recipe, or a rate for one that has none.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"recipe is '{recipe}', expected {' or '.join(RECIPES)}")
    if recipe != "lars" and base_lr is not None:
        raise ConfigError("base_lr is the rate of recipe=lars; lbfgs has none")
    rate = BASE_LR if base_lr is None else base_lr
    settings = {"recipe": recipe} | ({"base_lr": rate} if recipe == "lars" else {})

    def measure(evaluation: Evaluation) -> Measured:
        train, test = evaluation.labelled()
        if recipe == "lbfgs":
            probe = lbfgs(train, test)
        else:
            probe = lars(jax.random.key(seed), train, test, base_lr=rate)
        counted = tally(lambda x: logits(probe.classifier, x), test)
        protocol = {"l2": probe.l2, "iterations": probe.iterations}
        counts = {"train": len(train.labels), "test": len(test.labels)}
        return Measured(counted.metrics, protocol, counts, counted.intervals)

    return Task("linear", "linear probe", "top1", "share", settings, measure)
