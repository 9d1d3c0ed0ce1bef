"""A study's page: the runs of the first seed side by side, and what all seeds show of a paper."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from m3i_jax import ordinary
from m3i_jax.analysis.finding import Finding
from m3i_jax.analysis.report import page
from m3i_jax.analysis.report.page import Heading
from m3i_jax.evaluation import results
from m3i_jax.studies import inside
from m3i_jax.studies.inside import BRANCH, UNTRAINED, Claim, Inside
from m3i_jax.studies.study import Case

FILE = "page.jsonl"  # of the findings that the page shows, beside those of all seeds
# Measure -> the value of it whose curve over the blocks is shown of all seeds.
CURVES = {
    "attention_distance": "mean",
    "attention_entropy": "mean",
    "head_divergence": "mean",
    "rank": "effective_rank",
    "layer_probes": "knn",
}


def write(
    cases: Sequence[Case],
    seen: Inside,
    claims: Sequence[Claim],
    workdir: str | Path,
    *,
    title: str,
    out: str | Path,
) -> Path:
    """Writes the page and returns where it is.

    Args:
      cases: whose runs are in `workdir/<case>/seed_<n>`.
      seen: what they look like inside, of every seed.
      claims: of the paper.
      title: of the page.
      out: the file.
    """
    workdir = Path(workdir)
    runs = {workdir / case.name / "seed_0": case.title for case in cases}
    found = [*_claims(seen, claims), *_curves(seen)]
    found += [one for seeds in seen.values() for one in seeds[0]]
    folders = {workdir / case.baselines for case in cases}
    measured = [
        one
        for folder in sorted(folders)
        for one in results.read(folder)
        if one.protocol.get("seed") == 0
    ]
    lines = [json.dumps(one._asdict()) for one in (*found, *measured)]
    path = workdir / FILE
    ordinary.written(path, ("\n".join(lines) + "\n").encode())
    heading = Heading(title, _said(list(runs), len(next(iter(seen.values())))), runs)
    return page.write([*runs, path], out=out, heading=heading)


def _said(runs: Sequence[Path], seeds: int) -> str:
    """What is equal of all runs, and how many there are of each."""
    every = [one for run in runs for one in results.read(run) if one.branch == BRANCH]
    tera = [one.protocol["tera"] for one in every if "tera" in one.protocol]
    spent = " to ".join(dict.fromkeys(f"{x:.3f}" for x in (min(tera), max(tera)))) if tera else ""
    equal = f"Equal compute: {spent}·10¹² model operations each. " if spent else ""
    one = (
        "The runs are those of one seed."
        if seeds == 1
        else (
            f"{seeds} seeds of each were trained: charts and pictures are of the first, tables and "
            f"curves that say {seeds} seeds of all."
        )
    )
    return equal + one


def _claims(seen: Inside, claims: Sequence[Claim]) -> Iterator[Finding]:
    """For each claim a table of its number, model by model, under its verdict."""
    for number, claim in enumerate(claims, 1):
        found = {title: inside.numbers(claim, seeds) for title, seeds in seen.items()}
        verdict = inside.verdict(claim, found).replace("*", "")
        for title, of in found.items():
            values = {claim.what: float(np.mean(of))}
            if len(of) > 1:
                values |= {
                    f"least of {len(of)} seeds": min(of),
                    f"most of {len(of)} seeds": max(of),
                }
            yield _of(seen, title, f"claim_{number}", f"{claim.words}: {verdict}", values)


def _curves(seen: Inside) -> Iterator[Finding]:
    """Means of blocks over all seeds, from the least to the most; none of a single seed."""
    for measure, name in CURVES.items():
        for title, seeds in seen.items():
            findings = [inside.by_name(of)[measure] for of in seeds]
            rows = np.array([one.values[name] for one in findings], np.float64)
            if len(rows) < 2:
                return
            ends = {"low": rows.min(0).tolist(), "high": rows.max(0).tolist()}
            words = f"{findings[0].title}, {len(rows)} seeds: mean, least and most"
            values = {name: rows.mean(0).tolist(), **ends}
            one = _of(seen, title, f"{measure}_of_seeds", words, values)
            unit = "" if measure == "rank" else findings[0].unit
            yield one._replace(unit=unit, labels=findings[0].labels)


def _of(
    seen: Inside, title: str, measure: str, words: str, values: Mapping[str, object]
) -> Finding:
    """A finding of all seeds of a kind of model."""
    first = seen[title][0][0]
    model = "untrained" if title == UNTRAINED else title
    own = dict(measure=measure, title=words, unit="", form="layers", values=values, labels={})
    return first._replace(**own, model=model, weights="", protocol={}, pictures=[])
