"""The rows of docs/zoo.md, of the files of results that are kept in docs/zoo/.

    python docs/zoo.py      # writes them behind the page's own words

NAME.jsonl has lines of `results.jsonl` as a run has written them. NAME.toml says of them

    title, page, time     in words; where they are spoken of; what they took
    commands              that make them; at least one, or the page is refused
    runs."WORKDIR"        config and seed of every run that the lines name, and what it began
                          "behind", if not from nothing
"""

import json
import pathlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

PAGE = pathlib.Path(__file__).parent / "zoo.md"
FOLDER = PAGE.with_suffix("")
MARK = "<!-- runs -->"  # what is behind it is written here
# The measure of each task that is shown, and what it is called.
SHOWN = {
    "eval/linear/top1": "linear", "eval/knn/top1_k20": "kNN, k = 20",
    "eval/attentive/top1": "attentive, cheap form", "eval/few_shot/top1_1shot": "1 image a class",
    "eval/few_shot/top1_10shot": "10 images a class", "eval/fine_tune/top1": "fine-tuned",
    "eval/segmentation/miou": "segmentation, mIoU", "eval/pose/oks": "key points, OKS",
    "eval/depth/rmse": "depth, RMSE", "eval/detection/ap": "detection, AP",
    "eval/tracking/ao": "tracking, AO",
}  # fmt: skip
METRES = ("eval/depth/rmse",)  # all others are shares


class Row(NamedTuple):
    """A model, and what was measured of it. numbers: by measure, (value, interval or None)."""

    model: str
    config: str
    seed: str
    steps: str
    data: str
    numbers: dict[str, tuple[float, tuple[float, float] | None]]


class Unfounded(ValueError):
    """Numbers without what makes them."""


def page(folder: pathlib.Path = FOLDER) -> str:
    """The page: its own words, and a section for each file of results."""
    files = sorted(folder.glob("*.jsonl"), key=lambda file: file.stem)
    words = PAGE.read_text().partition(MARK)[0] + MARK
    return "\n\n".join([words, *map(section, files)]) + "\n"


def section(file: pathlib.Path) -> str:
    """How the numbers of a file are made, and the table of them.

    Raises:
      Unfounded: no command, or a run of which config and seed are not known.
    """
    made = file.with_suffix(".toml")
    told = tomllib.loads(made.read_text()) if made.is_file() else {}
    if not told.get("commands"):
        raise Unfounded(
            f"{file.name} has numbers, but {made.name} names no command that makes them"
        )
    rows = grouped([json.loads(line) for line in file.read_text().splitlines()], told, file.name)
    shown = [measure for measure in SHOWN if any(measure in row.numbers for row in rows)]
    titles = [f"{SHOWN[m]}, {'metres' if m in METRES else '%'}" for m in shown]
    head = ["model", "config", "seed", "steps", "data", *titles]
    table = [head, ["---"] * len(head)]
    for row in rows:
        table.append([*row[:5], *(said(m, row.numbers.get(m)) for m in shown)])
    commands = "```sh\n" + "\n".join(told["commands"]) + "\n```"
    title = (PAGE.parent / told["page"]).read_text().partition("\n")[0].removeprefix("# ")
    words = f"{told['time'][0].upper()}{told['time'][1:]}. More: [{title}]({told['page']})."
    return "\n\n".join([f"## {told['title']}", commands, words, "\n".join(map(piped, table))])


def grouped(lines: list[Mapping[str, Any]], told: Mapping[str, Any], name: str) -> list[Row]:
    """A row for each model, its lines joined, in their order."""
    rows: dict[tuple, Row] = {}
    for line in lines:
        run, step, kept = parted(line["model"])
        known = told["runs"].get(run, {})
        if run != "pixels" and not {"config", "seed"} <= known.keys():
            raise Unfounded(f"{name} has numbers of '{run}', whose config and seed are not said")
        drawn = line["model"].startswith("untrained:")
        model = "untrained" if drawn else f"trained, {line['branch']}"
        model += f", behind {known['behind']}" if "behind" in known and not drawn else ""
        model += f", {kept.replace('=', ' ')}" if kept else ""
        row = Row(
            "raw pixels" if run == "pixels" else model,
            f"`{known['config']}`" if known else "–",
            str(known.get("seed", "–")),
            step or "–",
            line["data"],
            {},
        )
        numbers = rows.setdefault(row[:5], row).numbers
        for measure in SHOWN.keys() & line["metrics"].keys():
            interval = line["intervals"].get(measure)
            numbers[measure] = (line["metrics"][measure], interval and tuple(interval))
    return list(rows.values())


def parted(model: str) -> tuple[str, str, str]:
    """(work directory, step, what is kept of it) of what results call a model."""
    match = re.fullmatch(r"(?:untrained:)?([^:@#]+)(?:@(\d+))?(?:#\w+)?(?::([^:]+))?", model)
    return match[1], match[2] or "", match[3] or ""


def said(measure: str, number: tuple[float, tuple[float, float] | None] | None) -> str:
    """A number with its interval, as a cell of a table."""
    if number is None:
        return ""
    shown = (lambda x: f"{x:.2f}") if measure in METRES else (lambda x: f"{100 * x:.1f}")
    value, interval = number
    ends = f" ({shown(interval[0])}–{shown(interval[1])})" if interval else ""
    return f"{shown(value)}{ends}"


def piped(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PAGE.write_text(page())
