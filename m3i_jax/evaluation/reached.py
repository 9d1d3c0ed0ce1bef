"""What a run that is validated has come to, for whoever has started it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from m3i_jax import jsonfile
from m3i_jax.evaluation import results
from m3i_jax.evaluation.dense import validated
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.results import Result
from m3i_jax.evaluation.validation import NOTE, PREDICTIONS
from m3i_jax.training.schema import ERRORS


class Best(NamedTuple):
    """best.json: the step, a metric of the log that decided, what it was, and the checkpoint."""

    step: int
    metric: str
    value: float
    checkpoint: str


def accuracy(workdir: Path) -> str:
    """What decided, of the last step and of the best, with 95 % intervals.

    "" where nothing was validated.
    """
    best = _best(workdir)
    if best is None or (last := _last(workdir, best)) is None:
        return ""
    branch, metric = best.metric.split("/")[1:]
    rows, end = last.counts["test"], last.metrics[f"eval/{last.task}/{metric}"]
    here = last.intervals.get(f"eval/{last.task}/{metric}", ())
    if metric.startswith("top"):  # a share of the rows, and so its interval follows from it
        here, there = wilson(end, rows), wilson(best.value, rows)
    else:
        there = ()
    if last.step == best.step:
        lines = [f"step {last.step}, the last and the best: {_shown(metric, end, here)}"]
    else:
        lines = [f"step {last.step}, the last: {_shown(metric, end, here)}",
                 f"step {best.step}, the best: {_shown(metric, best.value, there)}"]  # fmt: skip
    lines.append(f"({branch} weights on {rows} test images, with 95 % intervals)")
    if last.step != best.step:
        lines.append("The best step is chosen on the same images that it is measured on, so its "
                     "number flatters it; the last one's is the one to report.")  # fmt: skip
    return "\n".join(lines)


def places(workdir: Path) -> str:
    """Where all of it is, and what may be asked of it next."""
    said, best = [], _best(workdir)
    model = str(workdir)
    if best is not None:
        model = f"{workdir}@{best.step}#{best.metric.split('/')[1]}"
        said.append(f"{workdir / NOTE} names the best checkpoint, {workdir / best.checkpoint}")
    answers = next(iter(sorted(workdir.glob(f"{PREDICTIONS}.*"))), None)
    if best is not None and answers is not None:
        said.append(f"{answers} has its answer to every test image")
    more = f"m3i evaluate {model}, m3i export {model}"
    return "; ".join([f"all of it: {workdir / 'report.html'}", *said, f"more: {more}"])


def _best(workdir: Path) -> Best | None:
    file = workdir / NOTE
    if not file.is_file():
        return None
    note = jsonfile.parse(file.read_text())
    return Best(note["step"], note["metric"], note["value"], note["checkpoint"])


def _last(workdir: Path, best: Best) -> Result | None:
    """The line of the last step, of the weights that were chosen by."""
    _, branch, metric = best.metric.split("/")
    tasks = (results.FINE_TUNE, results.LINEAR_PROBE, *validated.TASKS.values())
    of = [
        one
        for one in results.read(workdir)
        if one.task in tasks and one.branch == branch and f"eval/{one.task}/{metric}" in one.metrics
    ]
    return of[-1] if of else None


def _shown(metric: str, value: float, ends: Sequence[float]) -> str:
    """A number and its interval, in percent where it is a share."""
    if metric in ERRORS:
        return f"{metric} {value:.4g}" + (f" ({ends[0]:.4g}–{ends[1]:.4g})" if ends else "")
    low, high = (100 * end for end in ends or (0, 0))
    return f"{metric} {100 * value:.1f} %" + (f" ({low:.1f}–{high:.1f})" if ends else "")
