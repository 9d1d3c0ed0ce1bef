"""The tables of docs/dense.md, and the README's of them, of the files of results in docs/zoo/.

    python docs/dense.py      # writes them between the pages' own words

`dense.jsonl` has networks trained on a task beside their encoders untrained, for every seed.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import zoo

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ROOT / "docs" / "dense.md", ROOT / "README.md"
# The tasks in the order of the page, what they are measured by, and how that is called.
TASKS = {
    "segmentation": ("miou", "mIoU, %"),
    "depth": ("rmse", "RMSE, metres, less is better"),
    "pose": ("oks", "OKS, %"),
}
UNTRAINED = "untrained:"
Line = Mapping[str, Any]


def filled(text: str) -> str:
    """A page with its table written anew, behind its mark and in front of the next end."""
    before, mark, rest = text.partition("<!-- tasks -->")
    _, end, behind = rest.partition("<!-- end -->")
    return f"{before}{mark}\n{tasks()}\n{end}{behind}"


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


def lines(task: str) -> list[Line]:
    """What the results say of a task."""
    read = map(json.loads, (zoo.FOLDER / "dense.jsonl").read_text().splitlines())
    return [line for line in read if measure(task) in line["metrics"]]


def measure(task: str) -> str:
    """What a task is measured by."""
    return f"eval/{task}/{TASKS[task][0]}"


def value(line: Line, task: str) -> float:
    """What a line says of a task."""
    return line["metrics"][measure(task)]


def _joined(task: str, values: Iterable[float]) -> str:
    return ", ".join(_said(task, x) for x in values)


def _said(task: str, number: float) -> str:
    return zoo.said(measure(task), (number, None))


if __name__ == "__main__":
    for place in PAGES:
        place.write_text(filled(place.read_text()))
