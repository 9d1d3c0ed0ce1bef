"""Alarms for representations that collapse, from the health of the targets that a step logs.

Numbers that are no longer finite are no alarm but an end, `NotFinite`.

A target has collapsed where all its codes point one way (spread → 0), or where they fill one
direction (rank → 1) or choose one prototype (used → 1). All say so long before the loss does,
which looks its best.
"""

from collections.abc import Callable, Iterable, Mapping
from logging import getLogger

import numpy as np

LOG = getLogger(__name__)

# A target is poor below the first number, or below the second as a share of the most it has had.
# One that never had as much as the first has to fall to half of its most: some start low and rise.
LIMITS = {
    "spread": (0.2, 0.0),  # about 1 where directions fill the sphere, 0 where all are alike
    "rank": (2.5, 0.0),  # directions that are filled
    "used": (2.5, 0.2),  # prototypes or visual tokens in use
}
PATIENCE = 3  # logged steps in a row, as a batch may be poor by chance

Watcher = Callable[[int, Mapping[str, float]], dict[str, float]]


def watch(*, history: Iterable[Mapping[str, float]] = ()) -> Watcher:
    """A watch over one run: (step, metrics) -> {"health/alarm": 0 or 1}, and a warning in the log.

    The alarm is 1 while a target has been poor for `PATIENCE` calls.
    history: what was logged before, so that a run that goes on alarms as if it had not stopped.
    """
    poor: dict[str, int] = {}
    most: dict[str, float] = {}

    def take(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
        """Counts what is poor; returns what has just been so for long enough."""
        alarms = []
        for name, value in metrics.items():
            kind = name.rpartition("/")[2]
            if kind not in LIMITS or not name.startswith("health/"):
                continue
            limit, share = LIMITS[kind]
            value = float(value) if value is not None else float("nan")
            most[name] = max(most.get(name, 0.0), value if np.isfinite(value) else 0.0)
            limit = limit if most[name] >= limit else 0.5 * most[name]
            low = max(limit, share * most[name])
            bad = not np.isfinite(value) or value < low and _shrinks(name, metrics, most)
            poor[name] = poor.get(name, 0) + 1 if bad else 0
            if poor[name] == PATIENCE:
                alarms.append((name.removeprefix("health/"), value))
        return alarms

    def look(step: int, metrics: Mapping[str, float]) -> dict[str, float]:
        for what, value in take(metrics):
            LOG.warning("step %d: a target collapses: %s is down to %.3g", step, what, value)
        alarm = any(count >= PATIENCE for count in poor.values())
        return {"health/alarm": float(alarm)} if poor else {}

    for row in history:
        take(row)
    return look


def _shrinks(name: str, metrics: Mapping[str, float], most: Mapping[str, float]) -> bool:
    """Whether few directions mean collapse: not while the target's spread keeps what it had.

    Texts, for one, fill few directions at first, and more as they spread.
    """
    term, _, kind = name.rpartition("/")
    spread = metrics.get(f"{term}/spread") if kind == "rank" else None
    return spread is None or not float(spread) >= 0.5 * most.get(f"{term}/spread", 0.0)
