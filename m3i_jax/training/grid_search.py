"""Fine-tuning at every point of a grid, on a part of training, to choose one for all of it.

As Dark Secrets tunes its small sets (Xie et al. 2023, App. E, https://arxiv.org/abs/2205.13543).
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.training.schema import ERRORS

NOTE, FOLDER, BEST = "grid.json", "grid", "best.json"
LR = "lr"


class Point(NamedTuple):
    """Constants of an optimiser, by key; `lr` is the peak rate."""

    settings: dict[str, float]

    @property
    def name(self) -> str:
        """Such as "lr_0.001-layer_decay_0.75", a folder."""
        return "-".join(f"{key}_{value:g}" for key, value in self.settings.items())

    def others(self) -> dict[str, float]:
        """All but the rate."""
        return {key: value for key, value in self.settings.items() if key != LR}


def points(axes: Mapping[str, Any]) -> list[Point]:
    """All points of a grid, {"lr": (1e-4, 1e-3), "layer_decay": 0.75}, the last axis fastest.

    Raises:
      ConfigError: no axis, an axis without a number, or with something else.
    """
    values = {key: x if isinstance(x, list | tuple) else (x,) for key, x in axes.items()}
    for key, numbers in values.items():
        if not numbers or not all(_is_number(x) for x in numbers):
            raise ConfigError(f"--grid: {key} is {axes[key]!r}, expected a number or several")
    if not values:
        raise ConfigError("--grid names nothing; expected such as lr=(1e-4,1e-3)")
    return [Point(dict(zip(values, x, strict=True))) for x in itertools.product(*values.values())]


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def searching(config: Mapping[str, Any], point: Point, share: float) -> dict[str, Any]:
    """The config of a point's own run: a share of training takes the place of the test split."""
    trial = {**config, "data": {"name": "held_out", "of": dict(config["data"]), "share": share}}
    trial["optimizer"] = {**config["optimizer"], **point.others()}
    # What is kept of it is its accuracy.
    trial["validation"] = {**config["validation"], "predictions": "none"}
    return trial


def accuracy(folder: Path) -> float:
    """The best value of a run that is done, as its best.json says it: of an error with a minus."""
    said = jsonfile.read(folder / BEST)
    sign = -1.0 if said["metric"].rpartition("/")[2] in ERRORS else 1.0
    return sign * float(said["value"])


def best(points: Sequence[Point], values: Sequence[float]) -> Point:
    """The point of the highest value, the first of equal ones."""
    return max(zip(points, values, strict=True), key=lambda pair: pair[1])[0]


def write(workdir: Path, points: Sequence[Point], values: Sequence[float], chosen: Point) -> None:
    """grid.json: the accuracy of each point on the part that was held out, and which was chosen."""
    lines = [{**p.settings, "value": abs(v)} for p, v in zip(points, values, strict=True)]
    text = json.dumps({"chosen": chosen.settings, "points": lines}, indent=2)
    ordinary.written(workdir / NOTE, text.encode())
