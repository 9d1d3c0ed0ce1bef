"""The tables of docs/dense.md and docs/objects.md, and the README's, of the results in docs/zoo/.

    python docs/dense.py      # writes them between the pages' own words

`dense.jsonl` has networks trained on a task beside their encoders untrained, for every seed;
`dense_layers.jsonl` encoders of several kinds of training, cut behind a block, by new heads on
their frozen maps; `objects.jsonl` detectors and trackers of every seed.
"""

import json
import pathlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import zoo

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ROOT / "docs" / "dense.md", ROOT / "docs" / "objects.md", ROOT / "README.md"
# The tasks in the order of the page, what they are measured by, and how that is called.
TASKS = {
    "segmentation": ("miou", "mIoU, %"),
    "depth": ("rmse", "RMSE, metres, less is better"),
    "pose": ("oks", "OKS, %"),
}
OBJECTS = {"detection": ("ap", "AP, %"), "tracking": ("ao", "AO, %")}
BEGINNINGS = {"from nothing": "", "behind MAE": "_mae"}  # and what their work directories end in
KINDS = {"classification": "supervised", "mae": "MAE", "m3i": "M3I"}
UNTRAINED = "untrained:"
Line = Mapping[str, Any]


def filled(text: str) -> str:
    """A page with its tables written anew: each is behind its mark, in front of the next end."""
    for name, made in {"tasks": tasks, "layers": layers, "objects": objects}.items():
        before, mark, rest = text.partition(f"<!-- {name} -->")
        if mark:
            _, end, behind = rest.partition("<!-- end -->")
            text = f"{before}{mark}\n{made()}\n{end}{behind}"
    return text


def tasks() -> str:
    """A row for each task: every seed of it, and by how much it is better at least."""
    head = ["task", "trained", "untrained, frozen", "constant", "better by at least"]
    rows = [head, ["---"] * len(head)]
    for task, (_, title) in TASKS.items():
        of = lines(task)
        drawn = [line for line in of if line["model"].startswith(UNTRAINED)]
        trained = [line for line in of if line not in drawn]
        mine, others = ([value(line, task) for line in some] for some in (trained, drawn))
        guesses = [line["metrics"][f"eval/{task}/constant"] for line in trained]
        margin = least(task, mine, others, guesses)
        cells = [_joined(task, some) for some in (mine, others, sorted({*guesses}))]
        rows.append([f"`{task}`, {title}", f"**{cells[0]}**", *cells[1:], _said(task, margin)])
    return "\n".join(map(zoo.piped, rows))


def least(task: str, mine: list[float], others: list[float], guesses: list[float]) -> float:
    """By how much a number is better than the better one of its two others, the least of all."""
    if measure(task) in zoo.METRES:
        return min(min(two) - x for x, *two in zip(mine, others, guesses, strict=True))
    return min(x - max(two) for x, *two in zip(mine, others, guesses, strict=True))


def layers() -> str:
    """A table for each task: a row for each number of blocks, a column for each encoder."""
    told = tomllib.loads((zoo.FOLDER / "dense_layers.toml").read_text())["runs"]
    tables = []
    for task, (_, title) in TASKS.items():
        cells: dict[str, dict[str, str]] = {}
        for line in (of := lines(task, name="dense_layers")):
            number = value(line, task), line["intervals"][measure(task)]
            row = cells.setdefault(_blocks(line), {})
            row[_kind(line, told)] = zoo.said(measure(task), number)
        columns = list(dict.fromkeys(name for row in cells.values() for name in row))
        rows = [[f"`{task}`, {title}; blocks", *columns], ["---"] * (len(columns) + 1)]
        rows += [[name, *(row.get(one, "–") for one in columns)] for name, row in cells.items()]
        guess = _said(task, of[0]["metrics"][f"eval/{task}/constant"])
        tables.append("\n".join(map(zoo.piped, rows)) + f"\n\nConstant: {guess}.")
    return "\n\n".join(tables)


def objects() -> str:
    """A row for each task: every seed, by what the encoder began with, beside the guess."""
    rows = [["task", *BEGINNINGS, "constant"], ["---"] * (len(BEGINNINGS) + 2)]
    for task, (_, title) in OBJECTS.items():
        of = lines(task, name="objects")
        found = {end: [x for x in of if _folder(x) == task + end] for end in BEGINNINGS.values()}
        cells = [_joined(task, (value(line, task) for line in some)) for some in found.values()]
        guesses = {line["metrics"][f"eval/{task}/constant"] for line in of}
        cells = [f"**{cell}**" if cell else "–" for cell in cells]
        rows.append([f"`{task}`, {title}", *cells, _joined(task, sorted(guesses))])
    return "\n".join(map(zoo.piped, rows))


def lines(task: str, *, name: str = "dense") -> list[Line]:
    """What a file of results says of a task."""
    read = map(json.loads, (zoo.FOLDER / f"{name}.jsonl").read_text().splitlines())
    return [line for line in read if measure(task) in line["metrics"]]


def measure(task: str) -> str:
    """What a task is measured by."""
    return f"eval/{task}/{(TASKS | OBJECTS)[task][0]}"


def value(line: Line, task: str) -> float:
    """What a line says of a task."""
    return line["metrics"][measure(task)]


def _folder(line: Line) -> str:
    return zoo.parted(line["model"])[0].split("/")[1]


def _blocks(line: Line) -> str:
    return re.search(r"blocks=(\d+)", line["model"])[1]


def _kind(line: Line, told: Mapping[str, Any]) -> str:
    """By what an encoder was trained, which the argument of its config says."""
    name = line["model"]
    config = told[zoo.parted(name)[0]]["config"]
    return "untrained" if name.startswith(UNTRAINED) else KINDS[config.partition(":")[2]]


def _joined(task: str, values: Iterable[float]) -> str:
    return ", ".join(_said(task, x) for x in values)


def _said(task: str, number: float) -> str:
    return zoo.said(measure(task), (number, None))


if __name__ == "__main__":
    for place in PAGES:
        place.write_text(filled(place.read_text()))
