"""A model on a dense task: by its own head, or by one that is trained on its frozen maps."""

from collections.abc import Callable
from typing import Annotated, Any

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample, Source, read
from m3i_jax.data.sources.subset import spread
from m3i_jax.evaluation.dense import probe, tested
from m3i_jax.evaluation.dense.goals import Goal
from m3i_jax.evaluation.dense.neighbours import Neighbours
from m3i_jax.evaluation.dense.predictor import Predictor, of_method
from m3i_jax.evaluation.dense.probe import Plan
from m3i_jax.evaluation.dense.tested import Tested, Way
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.progress import counted
from m3i_jax.framework import Method
from m3i_jax.parallel import processes
from m3i_jax.texts import OneOf
from m3i_jax.training.assemble import objective

OWN, AUTO, LINEAR = "own", "auto", "linear"
GUESSED = 200  # training records that a guess without an image is made of
# Whose head: the run's own, a new one on frozen maps, or its own where it has one.
Whose = Annotated[str, OneOf(AUTO, OWN, LINEAR)]


def judged(
    evaluation: Evaluation,
    goal: Goal,
    *,
    whose: str,
    method: Callable[[], Method],
    plan: Plan,
    way: Way,
) -> tuple[Tested, dict[str, Any]]:
    """What a model is worth by a goal on all test records, and the protocol, see `predictor_of`."""
    predictor, protocol = predictor_of(evaluation, goal.view, whose=whose, method=method, plan=plan)
    if protocol["head"] == OWN and way.base is None:
        # As it was trained, and is validated: at another size a head says something else.
        way = way._replace(base=tested.base_of(evaluation.model.config))
        protocol["base"] = way.base
    return held(evaluation, goal, predictor, way=way, what=plan.decoder), protocol


def held(
    evaluation: Evaluation, goal: Goal, predictor: Predictor | Neighbours, *, way: Way, what: str
) -> Tested:
    """What a predictor is worth by a goal on all test records, beside a guess without an image.

    what: this is, for the log.

    Raises:
      NotMeasurable: no test record says what the goal is held against.
    """
    source = evaluation.source("test")
    share = processes.own_share()
    far = dict(total=-(-len(source) // share.count), unit=(share.count, "images"))
    seen = lambda rows: counted(rows, f"{what} of test: image", **far)  # noqa: E731
    how = dict(way=way, batch=evaluation.at_once, seen=seen, share=share)
    known = known_records(evaluation.source("train"), GUESSED)
    return tested.tested(predictor, source, goal, guess=goal.guess(known), **how)


def known_records(source: Source, count: int) -> list[Sample]:
    """So many records of a source, spread over it, without those that cannot be read."""
    some = spread(source, min(count, len(source)))
    return [one for n in range(len(some)) if (one := read(some, n)) is not None]


def predictor_of(
    evaluation: Evaluation, view: str, *, whose: str, method: Callable[[], Method], plan: Plan
) -> tuple[Predictor, dict[str, Any]]:
    """What says something of pixels, and how it came to that, for the protocol.

    Args:
      view: what is said, one of `framework.PIXELWISE`.
      whose: "own", the head that the model's run has trained; "linear", one that is trained by
        `plan`; "auto", its own where it has one.
      method: of the table, whose head and loss a new one has.

    Raises:
      ConfigError: the model has no head of its own, and none is to be trained.
    """
    model = evaluation.model
    if whose != LINEAR:
        if (predictor := own(model, view)) is not None:
            return predictor, {"head": OWN}
        if whose == OWN:
            raise ConfigError(
                f"{model.name} has no head that says the '{view}' of pixels; head=linear trains "
                "one on its frozen maps"
            )
    source = evaluation.source("train")
    protocol = {"head": plan.head["name"], "steps": plan.steps, "batch": plan.batch}
    protocol["train"] = len(source)
    return probe.trained(model, source, method(), plan), protocol


def own(model: Model, what: str) -> Predictor | None:
    """The head that a model's own run has trained to say this, see `Method.says`; None where it has
    none."""
    if model.config is None or model.network is None or model.branch == "untrained":
        return None
    predictor = of_method(objective(model.config), model.network, model.params, what)
    if predictor is None or predictor.decoder not in model.params.get("decoders", {}):
        return None
    return predictor
