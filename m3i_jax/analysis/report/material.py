"""What a page is made of: all that work directories and files of results hold, damaged or not.

What is missing or cannot be read is a sentence of the page, and no error: a run that was killed
in the middle of a line has a page, too.
"""

import collections
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from m3i_jax import jsonfile, renamed
from m3i_jax.analysis import finding
from m3i_jax.analysis.finding import Finding
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import json_lines
from m3i_jax.evaluation import results
from m3i_jax.evaluation.results import Result
from m3i_jax.training import log, starts

LOG = logging.getLogger(__name__)
PICTURE = re.compile(r"(?P<name>.+)-(?P<step>\d{1,12})\.png", re.DOTALL)
NOTHING = "nothing to show; expected work directories of runs, or files of results or analyses"


class Picture(NamedTuple):
    """A picture of a step, WORKDIR/images/NAME-STEP.png."""

    name: str
    step: int
    path: Path


class Run(NamedTuple):
    """What a work directory says of its run.

    name: in the page, of its own there.  metrics: lines of metrics.jsonl, by ascending steps.
    starts: see `training.starts`, oldest first.
    """

    name: str
    place: Path
    config: dict[str, Any] = {}
    metrics: Sequence[dict[str, Any]] = ()
    starts: Sequence[dict[str, Any]] = ()
    pictures: Sequence[Picture] = ()


class Looked(NamedTuple):
    """A finding, and the folder of its pictures."""

    finding: Finding
    folder: Path


class Material(NamedTuple):
    """Everything of a page.

    findings: the latest of each measure of a model on its data.
    notes: sentences on what is missing or damaged.
    """

    runs: Sequence[Run]
    results: Sequence[Result]
    findings: Sequence[Looked]
    notes: Sequence[str]


def read(
    places: Sequence[str | Path], *, names: Mapping[Path, str] = MappingProxyType({})
) -> Material:
    """What work directories and files hold; of a place said twice, once.

    names: of work directories, in the page; the others are called as `apart` does.

    Raises:
      ConfigError: a place does not exist, or nothing at all is there to show.
    """
    for place in places:
        if not Path(place).exists():
            raise ConfigError(f"there is no '{place}'; expected a work directory or results.jsonl")
    places = list(dict.fromkeys(Path(place) for place in places))
    notes: list[str] = []
    folders = [place for place in places if place.is_dir()]
    called = [names.get(*pair) for pair in zip(folders, apart(folders), strict=True)]
    runs = [_run(*pair, notes) for pair in zip(folders, called, strict=True)]
    runs = [run for run in runs if run.metrics or run.config or run.pictures]
    measured: list[Result] = []
    looked: list[Looked] = []
    for place in places:
        new, seen = _numbers(place, notes)
        measured, looked = measured + new, looked + seen
    if not (runs or measured or looked):
        raise ConfigError(f"{', '.join(map(str, places))}: {NOTHING}")
    folder_of = {id(one.finding): one.folder for one in looked}
    latest = finding.latest([one.finding for one in looked])
    return Material(runs, measured, [Looked(one, folder_of[id(one)]) for one in latest], notes)


def apart(folders: Sequence[Path]) -> list[str]:
    """A name for each folder: its last part, and as many before it as tell them apart."""
    parts = [folder.absolute().parts[1:] or ("/",) for folder in folders]
    length = [1] * len(parts)
    while True:
        said = ["/".join(part[-n:]) for part, n in zip(parts, length, strict=True)]
        counts = collections.Counter(said)
        longer = [
            n + 1 if counts[name] > 1 and n < len(part) else n
            for name, part, n in zip(said, parts, length, strict=True)
        ]
        if longer == length:
            return said
        length = longer


def _run(place: Path, name: str, notes: list[str]) -> Run:
    """What a folder holds of a run."""
    said = lambda what: notes.append(f"{name}: {what}")  # noqa: E731
    config = _tried(lambda: _config(place), {}, said, log.CONFIG)
    text = _tried(lambda: json_lines.content(place / log.METRICS), b"", said, log.METRICS)
    metrics = sorted(log.parsed(text), key=_step)
    if broken := sum(bool(line.strip()) for line in text.splitlines()) - len(metrics):
        said(f"{log.METRICS} has {broken} damaged lines, which are left out")
    began = _tried(lambda: starts.read(place), [], said, starts.FILE)
    pictures = _tried(lambda: _pictures(place / "images"), [], said, "images")
    if config and not metrics:
        said("no step has been logged yet")
    return Run(name, place, config, metrics, began, pictures)


def _tried(
    act: Callable[[], Any], instead: Any, said: Callable[[str], None], what: str = ""
) -> Any:
    """What `act` finds; where it fails, `instead`, and a sentence on `what`."""
    try:
        return act()
    except (OSError, ValueError) as error:  # a ConfigError is a ValueError
        why = getattr(error, "strerror", None) or error
        said(f"{what} cannot be read: {why}".lstrip())
        return instead


def _config(place: Path) -> dict[str, Any]:
    """The config of a run; {} where the folder is of no run."""
    try:
        config = jsonfile.read(place / log.CONFIG)
    except FileNotFoundError:
        return {}
    if not isinstance(config, dict):
        raise ValueError("it is no object")
    return renamed.config(config)


def _pictures(folder: Path) -> list[Picture]:
    """The pictures of a run, by name and step."""
    if not folder.is_dir():
        return []
    matched = ((PICTURE.fullmatch(path.name), path) for path in folder.iterdir())
    shots = [Picture(m["name"], int(m["step"]), path) for m, path in matched if m]
    return sorted(shots, key=lambda picture: (picture.name, picture.step))


def _numbers(place: Path, notes: list[str]) -> tuple[list[Result], list[Looked]]:
    """Results and findings of a place; a file may hold either. What is neither is counted."""
    own = results.file(place)
    paths = [own] if own == place else [own.with_name(results.FORMER), own, finding.file(place)]
    measured: list[Result] = []
    looked: list[Looked] = []
    for path in paths:
        said = lambda what, name=path.name: notes.append(f"{place.name}: {name} {what}")  # noqa: E731
        lines = json_lines.lines(_tried(lambda path=path: json_lines.content(path), b"", said))
        broken = 0
        for line in filter(str.strip, lines):
            try:
                if '"form"' in line:
                    looked.append(Looked(finding.parsed(line), path.parent / finding.FOLDER))
                else:
                    measured.append(results.parsed(line))
            except ValueError:
                broken += 1
        if broken:
            said(f"has {broken} damaged lines, which are left out")
    return measured, looked


def _step(line: dict[str, Any]) -> int:
    return line["step"]
