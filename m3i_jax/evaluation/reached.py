"""What a run that is validated has come to, for whoever has started it."""

from pathlib import Path
from typing import NamedTuple

from m3i_jax import jsonfile
from m3i_jax.evaluation import results
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.results import Result
from m3i_jax.evaluation.validation import NOTE, PREDICTIONS


class Best(NamedTuple):
    """best.json: the step, a metric of the log that decided, what it was, and the checkpoint."""

    step: int
    metric: str
    value: float
    checkpoint: str


def accuracy(workdir: Path) -> str:
    """The shares of right answers of the last step and of the best, with Wilson's 95 % intervals.

    "" where nothing was validated.
    """
    best = _best(workdir)
    if best is None or (last := _last(workdir, best)) is None:
        return ""
    branch, metric = best.metric.split("/")[1:]
    rows, end = last.counts["test"], last.metrics[f"eval/{last.task}/{metric}"]
    shown = lambda share: f"{metric} {100 * share:.1f} %{_interval(metric, share, rows)}"  # noqa: E731
    if last.step == best.step:
        lines = [f"step {last.step}, the last and the best: {shown(end)}"]
    else:
        lines = [f"step {last.step}, the last: {shown(end)}",
                 f"step {best.step}, the best: {shown(best.value)}"]  # fmt: skip
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
    branch, tasks = best.metric.split("/")[1], (results.FINE_TUNE, results.LINEAR_PROBE)
    of = [one for one in results.read(workdir) if one.task in tasks and one.branch == branch]
    return of[-1] if of else None


def _interval(metric: str, share: float, rows: int) -> str:
    if not metric.startswith("top"):  # a mean over classes is no share of the rows
        return ""
    low, high = wilson(share, rows)
    return f" ({100 * low:.1f}–{100 * high:.1f})"
