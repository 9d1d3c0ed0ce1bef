"""The report of a work directory: curves, probes, the newest pictures, on one page."""

import html
import os
import urllib.parse
from pathlib import Path

import numpy as np

from m3i_jax import pictures
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import storage
from m3i_jax.evaluation import results, tasks
from m3i_jax.training import log

LABELS = {"ema": "pre-trained", "online": "pre-trained, online", "pixels": "raw pixels"}
STYLE = "body{font:16px sans-serif;max-width:60em;margin:2em auto}img{max-width:100%}"


def write(workdir: str | Path) -> Path:
    """Writes WORKDIR/report/*.png and WORKDIR/report.html; returns the page.

    Raises:
      ConfigError: the directory has no metrics.jsonl.
    """
    workdir = Path(workdir)
    lines = log.read(workdir / "metrics.jsonl")
    if not lines:
        what = f"'{workdir}' has no metrics.jsonl with a step in it"
        raise ConfigError(f"{what}; expected the --workdir of a run")
    folder = workdir / "report"
    with storage.writing(folder):
        folder.mkdir(exist_ok=True)
    parts = [_image(pictures.curves(_series(lines), folder / "curves.png", smooth=5), workdir)]
    if measured := results.read(workdir):
        parts += [_image(path, workdir) for path in _bars(measured, folder)]
        parts.append(f"<pre>{html.escape(results.table(measured))}</pre>")
    newest = sorted((workdir / "images").glob("*.png"))[-1:]
    parts += [_image(path, workdir) for path in newest]
    page = workdir / "report.html"
    title = html.escape(workdir.name)
    text = (
        f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
        f"<h1>{title}</h1>" + "\n".join(parts)
    )
    with storage.writing(page):
        storage.publish(page, text.encode(errors="replace"))  # names of files need not be text
    return page


def _series(lines: list[dict]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Losses and online probes: name -> (steps, values)."""
    drawn: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in line.items():
            wanted = name.startswith(("train/", "probe/")) and not name.endswith("regularizer")
            if wanted and name != "train/loss" and type(value) in (int, float):
                drawn.setdefault(name, []).append((line["step"], value))
    return {
        name: tuple(map(np.asarray, zip(*points, strict=True))) for name, points in drawn.items()
    }


def _bars(measured: list[results.Result], folder: Path) -> list[Path]:
    """One picture per task, one bar per measured model; of repeated measurements the latest."""
    latest: dict[str, dict[str, float]] = {}
    for result in measured:
        label = LABELS.get(result.branch, result.branch)
        for name, value in result.metrics.items():
            latest.setdefault(name, {})[label] = value
    paths = []
    for task in tasks.defaults():
        if task.metric in latest:
            path = folder / f"{task.name}.png"
            title = f"{task.title}, top-1 in percent" if task.unit == "share" else task.title
            paths.append(pictures.bars(latest[task.metric], path, title=title))
    return paths


def _image(path: Path, workdir: Path) -> str:
    return f'<img src="{urllib.parse.quote(os.fsencode(path.relative_to(workdir)))}">'
