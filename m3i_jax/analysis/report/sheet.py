"""What the parts of a page share: names and colours of models, and the numbers of its charts."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from m3i_jax.analysis.report.frame import Drawn, tone
from m3i_jax.analysis.report.markup import Markup, clean
from m3i_jax.analysis.report.material import Run

GREY = "grey"
UNTRAINED = "untrained:"
BASELINES = re.compile(r"(pixels|untrained)\b|.*#(untrained|pixels)\b", re.DOTALL)


class Sheet:
    """The page while it is written: gives every chart its number, and every model its colour.

    The runs have the first colours, in their order; other models, as analyses and evaluations name
    them, get the next ones when they come. Steps and branches of a run have its colour; what nobody
    has trained is grey.
    """

    def __init__(self, runs: Sequence[Run]):
        self.runs = runs
        self.names = [clean(run.name) for run in runs]
        self._charts: list[dict[str, Any]] = []
        self._steps: list[list[int]] = []

    @property
    def next(self) -> int:
        """The number of the next chart."""
        return len(self._charts)

    def take(self, drawn: Drawn) -> Markup:
        """The figure of a chart, which from now on has its number."""
        for line in drawn.script.get("lines", ()):
            line["steps"] = self._shared(line["steps"])
        self._charts.append(drawn.script)
        return drawn.figure

    def script(self) -> dict[str, Any]:
        """What the script needs of all charts; equal steps are said once."""
        return {"steps": self._steps, "charts": self._charts}

    def short(self, model: str) -> str:
        """A model as the page calls it: a run by its name, and what is behind it."""
        if model.startswith(UNTRAINED) and len(model) > len(UNTRAINED):
            return f"untrained {self.short(model.removeprefix(UNTRAINED))}"
        run, rest = self._of(model)
        return clean(model) if run is None else clean(self.runs[run].name + rest)

    def tone(self, model: str) -> str:
        """The class of a model's colour."""
        if baseline(model):
            return GREY
        run, _ = self._of(model)
        if run is not None:
            return tone(run)
        name = clean(model)
        if name not in self.names:
            self.names.append(name)
        return tone(self.names.index(name))

    def _of(self, model: str) -> tuple[int | None, str]:
        """(number of the run that a model is of, what its name says beside)."""
        for number, run in enumerate(self.runs):
            for name in _names(run):
                rest = model.removeprefix(name)
                if model.startswith(name) and (not rest or rest[0] in "@# "):
                    return number, rest
        return None, ""

    def _shared(self, steps: list[int]) -> int:
        if steps not in self._steps:
            self._steps.append(steps)
        return self._steps.index(steps)


def baseline(model: str) -> bool:
    """Whether a model is one that nobody trained: raw pixels, or untrained."""
    return bool(BASELINES.match(model))


def _names(run: Run) -> Iterable[str]:
    """How evaluations may call a run, the longest names first."""
    place = run.place
    said = {str(place), str(place.absolute()), run.name, place.name}
    return sorted(filter(None, said), key=len, reverse=True)
