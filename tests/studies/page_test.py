"""The page of a study: equal data of all, findings with all seeds, charts of the first."""

import json

import pytest

from m3i_jax.analysis.report import material
from m3i_jax.evaluation import results
from m3i_jax.studies import dark_secrets, inside, page
from m3i_jax.studies.study import Case
from tests.studies.inside_test import TITLES
from tests.studies.inside_test import findings as looked


@pytest.fixture
def made(tmp_path):
    """(what the page was made of, its text) of two seeds of five kinds of encoders."""
    cases = [Case(title.lower(), title, (), None) for title in TITLES[:-1]]
    seen = {
        title: [looked(far=(k, k, k, k + seed)) for seed in (0, 1)]
        for k, title in enumerate(TITLES, 1)
    }
    for case in cases:
        folder = tmp_path / case.name / "seed_0"
        protocol = {"seed": 0, "tera": 1.5}
        one = results.Result({"eval/knn/top1_k20": 0.5}, inside.BRANCH, 4, protocol, {"test": 9})
        results.write(folder, [one._replace(model=f"{folder}@4#online", data="garments")])
        (folder / "config.json").write_text(json.dumps({"seed": 0}))
        seen[case.title][0] = [
            one._replace(model=f"{folder}@4#online") for one in seen[case.title][0]
        ]
    out = page.write(
        cases, seen, dark_secrets.CLAIMS, tmp_path, title="Four", out=tmp_path / "p.html"
    )
    return material.read([tmp_path / page.FILE]), out.read_text()


def test_verdicts_with_mean_least_and_most_are_of_all_seeds(made):
    of, text = made
    claims = [one.finding for one in of.findings if one.finding.name == "claim_1"]
    assert [one.model for one in claims] == [*TITLES[:-1], "untrained"]
    assert claims[2].title == "masked image modeling attends locally: the contrary, in every seed"
    assert [*claims[2].values.values()] == [3.125, 3.0, 3.25]
    assert "least of 2 seeds" in text and "<h1>Four</h1>" in text
    assert "Equal compute: 1.500·10¹² model operations each. 2 seeds of each" in text
    assert ">SimCLR@4#online<" in text and ">untrained<" in text


def test_curves_have_the_ends_of_all_seeds_and_charts_are_of_the_first(made):
    of, _ = made
    by_name = {(one.finding.name, one.finding.model): one.finding for one in of.findings}
    curve = by_name["attention_distance_of_seeds", "MAE"]
    assert curve.values == {"mean": [3, 3, 3, 3.5], "low": [3] * 4, "high": [3, 3, 3, 4]}
    assert {
        one.finding.values["heads"][3][0]
        for one in of.findings
        if one.finding.form == "heads" and one.finding.name == "attention_distance"
    } == {1, 2, 3, 4, 5}
