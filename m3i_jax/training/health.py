"""Alarms for representations that collapse, from the health of the targets that a step logs.

A target has collapsed where all its codes point one way (spread → 0), or where they fill one
direction or one prototype (rank → 1). Both say so long before the loss does, which looks its best.
"""

from collections.abc import Callable, Iterable, Mapping
from logging import getLogger

import numpy as np

LOG = getLogger(__name__)

# Below these, and below half of the most a target has had: some start low and rise.
SPREAD = 0.2  # of directions: about 1 on a sphere, more than 0.5 in every healthy run we have seen
RANK = 1.6  # directions or candidates in use
PATIENCE = 3  # logged steps in a row, as a batch may be poor by chance

Look = Callable[[int, Mapping[str, float]], dict[str, float]]


def watch(*, history: Iterable[Mapping[str, float]] = ()) -> Look:
    """A watch over one run: (step, metrics) -> {"health/alarm": 0 or 1}, and a warning in the log.

    The alarm is 1 while a target has had too little spread or rank for `PATIENCE` calls.
    history: what was logged before, so that a run that goes on alarms as if it had not stopped.
    """
    poor: dict[str, int] = {}
    most: dict[str, float] = {}
    limits = {"spread": SPREAD, "rank": RANK}

    def take(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
        """Counts what is poor; returns what has just been so for long enough."""
        found = []
        for name, value in metrics.items():
            limit = limits.get(name.rpartition("/")[2]) if name.startswith("health/") else None
            if limit is None:
                continue
            value = float(value) if value is not None else float("nan")
            most[name] = max(most.get(name, 0.0), value if np.isfinite(value) else 0.0)
            bad = not np.isfinite(value) or value < min(limit, 0.5 * most[name])
            poor[name] = poor.get(name, 0) + 1 if bad else 0
            if poor[name] == PATIENCE:
                found.append((name.removeprefix("health/"), value))
        return found

    def look(step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        for what, value in take(metrics):
            LOG.warning("step %d: a target collapses: %s is down to %.3g", step, what, value)
        alarm = any(count >= PATIENCE for count in poor.values())
        return {"health/alarm": float(alarm)} if poor else {}

    for row in history:
        take(row)
    return look
