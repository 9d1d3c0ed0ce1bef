"""Few labelled images for each class, in several draws."""

from typing import Annotated, Any

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import FeatureSet, require_tables
from m3i_jax.evaluation.intervals import student
from m3i_jax.evaluation.probes import few_shot as fits
from m3i_jax.evaluation.probes.probe import logits, tally
from m3i_jax.evaluation.progress import ticker
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Positive, Range, Seed

METHODS = ("ridge", "logistic")
SHOWN = 5  # shots of the number that pictures show

Shots = Annotated[int, Range(1, 10**6, why="images of each class")]
Part = Annotated[float, Range(0, 1, above=True, why="a share of each class's images")]
Draws = Annotated[int, Range(1, 1000)]


def few_shot(
    *,
    shots: Shots | tuple[Shots, ...] = (1, SHOWN, 10),
    shares: Part | tuple[Part, ...] = (),
    method: str = "ridge",
    strength: Positive | None = None,
    draws: Draws = 5,
    seed: Seed = 0,
) -> Task:
    """A classifier that learns from few images, the mean over several draws of them.

    Its intervals are Student's over the draws.

    Args:
      shots: images of each class, for each number.
      shares: shares of each class's images, for each number; 0.01 is the papers' 1 %.
      method: "ridge" is closed-form least squares of standardised features, its penalty chosen by
        leave-one-out; "logistic" is MSN's logistic regression (https://arxiv.org/abs/2204.07141).
      strength: λ of logistic, 0.1 by default as SiameseIM has it.
      draws: of images, for each number.
      seed: of the first draw; the next ones count up.

    Raises:
      ConfigError: another method, a strength for one that chooses it, or nothing to draw.
    """
    if method not in METHODS:
        raise ConfigError(f"method is '{method}', expected {' or '.join(METHODS)}")
    if method == "ridge" and strength is not None:
        raise ConfigError("strength is the penalty of method=logistic; ridge chooses its own")
    wanted = _wanted(shots, shares)
    names = list(wanted)
    shown = f"{SHOWN}shot" if f"{SHOWN}shot" in names and shares == () else names[-1]
    asked = {"shots": _each(shots), "shares": _each(shares)}
    settings: dict[str, Any] = {**asked, "method": method, "draws": draws, "seed": seed}
    settings |= {"l2": 0.1 if strength is None else strength} if method == "logistic" else {}

    def measure(evaluation: Evaluation) -> Measured:
        train, test = evaluation.labelled(what="few-shot classification")
        require_tables(train, test, what="few-shot classification")
        labels, classes = np.asarray(train.labels), getattr(evaluation, "classes", ())
        if method == "logistic":
            train, test = (t._replace(features=fits.msn_rows(t.features)) for t in (train, test))
        counts, shares = {"test": len(test.labels)}, {name: [] for name in names}
        tick = ticker("few-shot: classifier", total=len(names) * draws)
        plan = [(name, draw) for name in names for draw in range(draws)]
        for done, (name, draw) in enumerate(plan):
            tick(done, name)
            rows = fits.draw(labels, seed=seed + draw, names=classes, **wanted[name])
            counts[f"train_{name}"] = len(rows)
            few = FeatureSet(train.features[rows], labels[rows])
            shares[name].append(_top1(few, test, method, settings.get("l2")))
        metrics = {f"top1_{name}": float(np.mean(values)) for name, values in shares.items()}
        ends = {f"top1_{k}": student(v) for k, v in shares.items() if len(v) > 1}
        every = {f"top1_{name}": values for name, values in shares.items()}
        return Measured(metrics, {"draws_top1": every}, counts, ends)

    title = f"few-shot, {shown.replace('shot', ' per class').replace('pct', ' %')}"
    return Task("few_shot", title, f"top1_{shown}", "share", settings, measure)


def _each(numbers: Any) -> tuple:
    """Those of a tuple or list, or the one."""
    return tuple(numbers) if isinstance(numbers, tuple | list) else (numbers,)


def _wanted(shots: Any, shares: Any) -> dict[str, dict[str, float]]:
    """What is drawn for each number, by its name, such as {"5shot": {"shots": 5}}."""
    wanted = {f"{count}shot": {"shots": count} for count in _each(shots)}
    wanted |= {f"{100 * part:g}pct".replace(".", "p"): {"share": part} for part in _each(shares)}
    if not wanted:
        raise ConfigError("shots and shares are empty, expected a number of images for one of them")
    return wanted


def _top1(few: FeatureSet, test: FeatureSet, method: str, l2: float | None) -> float:
    """Of the classifier of one draw."""
    classes = 1 + int(max(np.max(few.labels), np.max(test.labels)))
    ridge = method == "ridge"
    fit = fits.ridge(few, classes).classifier if ridge else fits.msn(few, classes, strength=l2)
    return tally(lambda x: logits(fit, x), test).metrics["top1"]
