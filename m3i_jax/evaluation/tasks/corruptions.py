"""How much of a classifier's accuracy is left where images are corrupted."""

import functools
import logging
from typing import Annotated

import numpy as np

from m3i_jax.build import ConfigError, nearest
from m3i_jax.evaluation import corruptions as common
from m3i_jax.evaluation.classifiers import CLASSIFIERS, Name, hits
from m3i_jax.evaluation.evaluation import Evaluation, Transform
from m3i_jax.evaluation.intervals import of_mean, wilson
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.ranges import Range, Seed
from m3i_jax.texts import OneOf

LOG = logging.getLogger(__name__)
Severity = Annotated[int, Range(1, 5)]
Table = Annotated[str, OneOf("auto", *common.TABLES)]


def corruptions(
    *,
    classifier: Name = "linear",
    severity: Severity | tuple[Severity, ...] = common.SEVERITIES,
    kinds: str | tuple[str, ...] = common.STANDARD,
    strengths: Table = "auto",
    seed: Seed = 0,
) -> Task:
    """Accuracy under ImageNet-C's common corruptions (Hendrycks & Dietterich 2019).

    The classifier is that of clean images; the test images are encoded once for each corruption
    and severity. `relative` is the mean accuracy as a share of the clean one.
    https://arxiv.org/abs/1903.12261; docs/methods.md#corruptions.

    Args:
      classifier: "linear", the exact probe on frozen features of clean training images;
        "own_head" of the run's labels; or "zero_shot", by the names of the classes.
      severity: 1 to 5, one or several.
      kinds: which corruptions; all 14 of the paper that need no files, or some by name.
      strengths: those for "imagenet", 224 pixels, or "cifar", 32; "auto" takes the latter for
        images of up to 64 pixels.
      seed: of what is drawn.
    """
    levels = tuple(dict.fromkeys((severity,) if isinstance(severity, int) else severity))
    chosen = tuple(dict.fromkeys((kinds,) if isinstance(kinds, str) else kinds))
    if not levels or not chosen:
        raise ConfigError("a corruption and a severity are needed, and severity or kinds is empty")
    for name in chosen:
        if name not in common.CORRUPTIONS:
            hint = nearest(name, common.CORRUPTIONS)
            raise ConfigError(f"kinds has '{name}', which is no corruption{hint}")

    def measure(evaluation: Evaluation) -> Measured:
        judge = CLASSIFIERS[classifier](evaluation, what="the task corruptions")
        side = evaluation.settings["image"]
        table = common.chosen(side) if strengths == "auto" else strengths
        clean = hits(judge.scored(None))
        right = {}
        for number, (name, level) in enumerate((n, s) for n in chosen for s in levels):
            LOG.info(
                "corruption %d of %d: %s %d", number + 1, len(chosen) * len(levels), name, level
            )
            right[name, level] = hits(judge.scored(_transform(name, level, table, seed)))
        metrics, intervals = _summary(clean, right)
        counts = {**judge.counts, "test": len(clean)}
        return Measured(metrics, {**judge.protocol, "strengths": table}, counts, intervals)

    settings = {"classifier": classifier, "severity": levels, "kinds": chosen, "seed": seed}
    title = "accuracy on corrupted images"
    return Task("corruptions", title, "mean", "share", settings, measure)


def _transform(name: str, severity: int, table: str, seed: int) -> Transform:
    """A corruption as something that is done to images."""
    corruption = dict(name=name, severity=severity, table=table, seed=seed)
    return Transform(
        f"{name} {severity} {table} {seed}", functools.partial(common.corrupted, **corruption)
    )


def _summary(
    clean: np.ndarray, right: dict[tuple[str, int], np.ndarray]
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Shares and their intervals, of which rows are right clean and under each corruption.

    Means are over corruptions of the same rows, so a row's mean is one observation; the relative
    accuracy r = M/C varies as Σ (m − r·c)/C does.
    """
    rows = np.mean([*right.values()], axis=0)
    metrics = {"clean": clean.mean(), "mean": rows.mean()}
    intervals = {"clean": wilson(clean.mean(), len(clean)), "mean": _of_share(rows)}
    if clean.any():
        relative = metrics["relative"] = rows.mean() / clean.mean()
        low, high = of_mean((rows - relative * clean) / clean.mean())
        intervals["relative"] = relative + low, relative + high
    for kind in dict.fromkeys(name for name, _ in right):
        of_kind = np.mean([x for (name, _), x in right.items() if name == kind], axis=0)
        metrics[kind], intervals[kind] = of_kind.mean(), _of_share(of_kind)
    for (name, severity), x in right.items():
        measure = f"{name}_{severity}"
        metrics[measure], intervals[measure] = x.mean(), wilson(x.mean(), len(x))
    return {name: float(share) for name, share in metrics.items()}, intervals


def _of_share(rows: np.ndarray) -> tuple[float, float]:
    """The interval of a mean of shares, which is no less than 0 and no more than 1."""
    low, high = of_mean(rows)
    return max(low, 0.0), min(high, 1.0)
