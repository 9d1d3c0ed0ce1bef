"""What the runs of a study look like inside, and which findings of a paper they show.

Every run of every seed and, for each seed, the encoder as it was drawn are looked into by the
measures of the Dark Secrets' figures. A claim of the paper is a number of each model and a
direction: it shows where no seed is on the wrong side of a seed of another kind of model.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from m3i_jax.analysis import figures, finding, measures, run
from m3i_jax.analysis.finding import Finding
from m3i_jax.analysis.measures import Measure, written
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.models import Model
from m3i_jax.studies.study import Case

UNTRAINED = "Untrained"
BRANCH = "online"
IMAGES, FITTED = 1000, 2000  # test images that are looked at, training images of probes
BATCH = 100  # images at once
LOOKS = (
    {"name": "attention_distance"},
    {"name": "attention_entropy"},
    {"name": "head_divergence"},
    {"name": "cka"},
    {"name": "rank", "views": False},
    {"name": "layer_probes", "linear": False},
)
# Of the first seed alone, for a page.
PICTURED = (
    {"name": "attention_maps", "count": 2},
    {"name": "pca"},
    {"name": "neighbours", "queries": 4},
)
# Measure -> what is on the vertical axis of its picture.
PICTURES = {
    "attention_distance": figures.DISTANCE,
    "attention_entropy": figures.ENTROPY,
    "head_divergence": figures.DIVERGENCE,
    "cka": "block",
}
LATE = 2  # last blocks, in which most methods lose the diversity of their heads

Inside = Mapping[str, Sequence[Sequence[Finding]]]  # title -> findings of each seed


class Claim(NamedTuple):
    """A finding of the paper.

    words: what it says.  what: the number.
    number: of the findings of one model.
    less, more: titles of those that should have less of it, and of those that should have more.
    """

    words: str
    what: str
    number: Callable[[Mapping[str, Finding]], float]
    less: Sequence[str]
    more: Sequence[str]


def looked_into(cases: Sequence[Case], workdir: str | Path, *, seeds: int) -> Inside:
    """The findings of all runs that are there, and of their untrained encoders, seed by seed.

    All see the images of the first case's data. What `workdir/analysis.jsonl` has of the same
    weights is taken from there. Those of the first seed are more, by `PICTURED`.
    """
    chosen, place = measures.create(LOOKS), Path(workdir)
    first = measures.create(PICTURED)
    by_title: dict[str, list[list[Finding]]] = {}
    data = None
    for title, model in _models(cases, place, seeds):
        data = data or datasets.of_run(model)
        of = by_title.setdefault(title, [])
        of.append(_findings(model, data, chosen if of else [*chosen, *first], place))
    return by_title


def _models(cases: Sequence[Case], workdir: Path, seeds: int) -> Iterator[tuple[str, Model]]:
    """(title, model), one after another."""
    for case in cases:
        for seed in range(seeds):
            folder = workdir / case.name / f"seed_{seed}"
            yield case.title, models.restore(folder, branch=BRANCH)
    for seed in range(seeds):
        # An encoder starts from the same parameters whatever trains it.
        first = models.restore(workdir / cases[0].name / f"seed_{seed}", branch=BRANCH)
        yield UNTRAINED, models.untrained(first)


def _findings(model: Model, of: Data, chosen: Sequence[Measure], place: Path) -> list[Finding]:
    """One finding of each measure, from the file or made."""
    devices = jax.device_count()
    # What any devices divide: CKA compares the images of a batch.
    batch = -(-BATCH // devices) * devices
    settings = dict(train_limit=FITTED, test_limit=IMAGES, batch=batch)
    evaluation = Evaluation(model, of, **settings)
    evaluation.source("test")
    records = evaluation.records["test"]
    known = {
        one.measure: one
        for one in finding.read(place)
        if one.weights == evaluation.weights and one.records == records and not one.other
    }
    left = [measure for measure in chosen if written(measure) not in known]
    if left:
        new = run.analyzed(left, [model], on=[of], place=place, **settings)
        # As a line of the file has them.
        known |= {one.measure: one._replace(values=finding.rounded(one.values)) for one in new}
    return [known[written(measure)] for measure in chosen]


def markdown(inside: Inside, claims: Sequence[Claim]) -> str:
    """Which findings of the paper show, and the means of blocks, mean (least–most) of the seeds."""
    titles = [*inside]
    lines = [("finding of the paper", "number", *titles, "here")]
    lines.append(("---",) * len(lines[0]))
    for claim in claims:
        found = {title: numbers(claim, inside[title]) for title in titles}
        cells = (_cell(of) for of in found.values())
        lines.append((claim.words, claim.what, *cells, verdict(claim, found)))
    parts = [_table(lines)] * bool(claims) + [_blocks(inside, "head_divergence")]
    images = next(iter(inside.values()))[0][0].counts["test"]
    seeds = len(next(iter(inside.values())))
    said = f"{seeds} seed{'s' * (seeds > 1)} each, mean (least–most); {images} test images"
    return "\n\n".join([*parts, f"{said}; branch {BRANCH}."])


def answered(claims: Sequence[Claim], inside: Inside) -> list[Claim]:
    """The claims that are of models that are there."""
    return [claim for claim in claims if {*claim.less, *claim.more} <= inside.keys()]


def verdict(claim: Claim, numbers: Mapping[str, Sequence[float]]) -> str:
    """Whether every seed of `less` is below every seed of `more`, or the means at least."""
    less = np.concatenate([numbers[title] for title in claim.less])
    more = np.concatenate([numbers[title] for title in claim.more])
    if less.max() < more.min():
        return "**shows**, in every seed"
    means = [[np.mean(numbers[title]) for title in side] for side in (claim.less, claim.more)]
    if max(means[0]) < min(means[1]):
        return "shows in the means; seeds overlap"
    if min(means[0]) > max(means[1]):
        return "**the contrary**" + (", in every seed" if less.min() > more.max() else "")
    return "does not show"


def draw(inside: Inside, folder: str | Path, stem: str) -> list[tuple[str, Path]]:
    """(What it shows, path) of a picture for each measure of the paper's figures, and two more."""
    folder, drawn = Path(folder), []
    drawn_by = {
        title: {look["name"]: [by_name(of)[look["name"]] for of in seeds] for look in LOOKS}
        for title, seeds in inside.items()
    }
    layers = {"layer_probes": "kNN accuracy", "rank": "dimensions"}
    for name, axis in {**PICTURES, **layers}.items():
        panels = {title: of[name] for title, of in drawn_by.items()}
        if name in layers:
            kept = {"layer_probes": ("knn",), "rank": ("effective_rank",)}[name]
            panels = {title: _only(of, kept) for title, of in panels.items()}
        path = folder / f"{stem}_{name}.png"
        figures.draw(panels, axis, path)
        title = next(iter(panels.values()))[0].title
        drawn.append((f"{title[:1].upper()}{title[1:]}, a panel for each kind of encoder", path))
    return drawn


def _only(findings: Sequence[Finding], names: Sequence[str]) -> list[Finding]:
    """The findings with these of their values."""
    return [one._replace(values={name: one.values[name] for name in names}) for one in findings]


def by_name(findings: Sequence[Finding]) -> dict[str, Finding]:
    """The findings of one model by the names of their measures."""
    return {one.name: one for one in findings}


def numbers(claim: Claim, seeds: Sequence[Sequence[Finding]]) -> list[float]:
    """The number of a claim, of every seed."""
    return [claim.number(by_name(findings)) for findings in seeds]


def _blocks(inside: Inside, name: str) -> str:
    """The means of every block."""
    rows = {
        title: np.array([by_name(of)[name].values["mean"] for of in seeds])
        for title, seeds in inside.items()
    }
    first = by_name(next(iter(inside.values()))[0])[name]
    count = next(iter(rows.values())).shape[1]
    lines = [(f"{first.title}, {first.unit}", *(f"block {n + 1}" for n in range(count)))]
    lines.append(("---",) * len(lines[0]))
    lines += [(title, *(_cell(of) for of in means.T)) for title, means in rows.items()]
    return _table(lines)


def _cell(numbers: Sequence[float]) -> str:
    """Mean (least–most), with three digits."""
    return f"{np.mean(numbers):.3g} ({min(numbers):.3g}–{max(numbers):.3g})"


def _table(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def distance(of: Mapping[str, Finding]) -> float:
    """Mean attention distance of all blocks, in pixels."""
    return float(np.mean(of["attention_distance"].values["mean"]))


def late_distance(of: Mapping[str, Finding]) -> float:
    """Mean attention distance of the last blocks over that of the first ones."""
    means = of["attention_distance"].values["mean"]
    return float(np.mean(means[-LATE:]) / np.mean(means[:LATE]))


def late_diversity(of: Mapping[str, Finding]) -> float:
    """Mean divergence between heads in the last blocks, in nats."""
    return float(np.mean(of["head_divergence"].values["mean"][-LATE:]))


def kept_diversity(of: Mapping[str, Finding]) -> float:
    """Divergence in the last blocks over that in the first ones."""
    means = of["head_divergence"].values["mean"]
    return float(np.mean(means[-LATE:]) / np.mean(means[:LATE]))


def likeness(of: Mapping[str, Finding]) -> float:
    """Mean CKA of two different blocks."""
    table = np.array(of["cka"].values["matrix"])
    return float(table[~np.eye(len(table), dtype=bool)].mean())
