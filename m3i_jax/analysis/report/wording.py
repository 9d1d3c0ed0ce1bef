"""What metrics are called, which belong together, and how they are read."""

import re
from typing import NamedTuple

from m3i_jax.evaluation import tasks
from m3i_jax.training.schema import ERRORS

BRANCHES = ("ema", "online")


class Kind(NamedTuple):
    """Metrics under one heading.

    said: how to read them.  first: pattern of those that one looks at first.  rest: of the others.
    """

    title: str
    said: str
    first: str
    rest: str = "$^"


KINDS = (
    Kind(
        "Loss",
        "What is minimised, and the prediction term of every prediction. Terms of different "
        "methods are not comparable; the course of each is.",
        r"train/[^/]+",
        r"train/.*",
    ),
    Kind(
        "Accuracy beside the training",
        "Solid: the moving average. Dashed: the online network. Nearest neighbours vote among "
        "images of the training split; tasks are those of config.monitor.",
        r"(probe|validation)/.*",
    ),
    Kind(
        "Information",
        "Estimate, in nats, of what the code of the input says about the code of the target. "
        "0 is nothing; it rises while the method learns.",
        r"information/[^/]+",
        r"information/.*",
    ),
    Kind(
        "Health of the targets",
        "Spread is about 1 where directions fill the sphere and 0 where all codes are alike. Rank "
        "counts directions in use. In the shaded band a target has collapsed.",
        r"health/.*/(spread|rank|used)|health/effective_rank",
        r"health/.*",
    ),
    Kind(
        "Optimisation",
        "Learning rate, norm of the gradient, and how groups of terms are weighed.",
        r"optim/(lr|grad_norm)|balance/(lambda|weight_.*)",
        r"(optim|balance|ema)/.*",
    ),
    Kind(
        "Speed",
        "Images per second over all devices, the share of time spent waiting for data, and that in "
        "steps that count, over all starts.",
        r"perf/(images_per_second|data_wait|mfu|goodput)",
        r"(perf|monitor)/.*",
    ),
    Kind("Other", "What else was logged.", r".*"),
)
WORDS = {
    "train/loss": "Loss, all terms",
    "optim/lr": "Learning rate",
    "optim/grad_norm": "Norm of the gradient",
    "optim/skipped": "Steps skipped",
    "optim/loss_median": "Loss, running median",
    "optim/grad_norm_median": "Norm of the gradient, running median",
    "balance/lambda": "Weight λ of the supervised terms",
    "ema/momentum": "Momentum of the moving average",
    "health/alarm": "Alarm: a target collapses",
    "health/feature_std": "Spread of the features",
    "health/effective_rank": "Effective rank of the features",
    "perf/images_per_second": "Images per second",
    "perf/data_wait": "Waiting for data",
    "perf/mfu": "Share of the devices’ peak",
    "perf/goodput": "Share of the time in steps that count",
    "perf/validation_seconds": "Seconds of a validation",
    "monitor/seconds": "Seconds of a look",
    "monitor/share": "Share of the time for looking",
    "validation/best": "Best validation",
    "validation/least": "Least error of a validation",
}
SHARES = {"perf/data_wait", "perf/mfu", "perf/goodput", "monitor/share"}


def parted(metric: str) -> tuple[str, str]:
    """(name without its branch, branch): probe/ema_knn/top1 is probe/knn/top1 of "ema"."""
    for branch in BRANCHES:
        match = re.fullmatch(rf"(probe|validation)/{branch}[_/](.+)", metric, re.DOTALL)
        if match:
            return f"{match[1]}/{match[2]}", branch
    return metric, ""


def title(name: str) -> str:
    """A metric in words."""
    if name in WORDS:
        return WORDS[name]
    family, _, rest = name.partition("/")
    last = rest.rpartition("/")[2]
    of = rest.rpartition("/")[0].replace("_", " ")
    if family == "train":
        return f"{of}: regulariser" if last == "regularizer" and of else rest.replace("_", " ")
    if family in ("information", "health") and of:
        return f"{of}: {last}"
    if family == "information":
        return rest.replace("_", " ")
    if family == "balance":
        return rest.replace("norm_", "gradient norm of ").replace("weight_", "weight of ")
    if family in ("probe", "validation"):
        return f"{of} {last}".strip().replace("_", " ")
    return name


def unit(name: str) -> str:
    """ "share" of metrics that are said in percent, "" of others."""
    family, _, rest = name.partition("/")
    if family == "validation":
        return "" if rest.rpartition("/")[2] in (*ERRORS, "least") else "share"
    if family == "probe":
        task, _, measure = rest.partition("/")
        known = {one.name: one.unit for one in tasks.defaults()}
        return "share" if known.get(task) == "share" or measure.startswith("top") else ""
    return "share" if name in SHARES else ""
