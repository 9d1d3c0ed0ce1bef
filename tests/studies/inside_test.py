"""Runs are looked into once; what a paper claims is held against every seed of them."""

import numpy as np
import pytest

from m3i_jax.analysis.finding import Finding
from m3i_jax.studies import dark_secrets, inside
from m3i_jax.studies.inside import Claim
from m3i_jax.studies.study import Case

TITLES = ("Supervised", "SimCLR", "MAE", "M3I", inside.UNTRAINED)


def finding(measure, form, **values):
    of = dict(title=measure, unit="nats", labels={}, protocol={}, counts={"test": 9}, weights="")
    of |= dict(model="toy", branch="online", step=0, image=16, data="", records="")
    return Finding(measure=measure, form=form, values=values, **of)


def findings(far=(1.0, 1.0, 1.0, 1.0), apart=(1.0, 1.0, 1.0, 1.0), alike=0.5):
    """What a model has of every measure."""
    spread = lambda means: dict(heads=[[m, m] for m in means], mean=[*means])  # noqa: E731
    table = np.full((4, 4), alike) + (1 - alike) * np.eye(4)
    curve = [0.1, 0.2, 0.3, 0.4]
    return [
        finding("attention_distance", "heads", **spread(far)),
        finding("attention_entropy", "heads", **spread(far)),
        finding("head_divergence", "heads", **spread(apart)),
        finding("cka", "matrix", matrix=table.tolist()),
        finding("rank", "layers", effective_rank=curve, uniformity=curve),
        finding("layer_probes", "layers", linear=curve, knn=curve, knn_low=curve),
    ]


def test_numbers_of_the_claims():
    of = {f.name: f for f in findings((1, 3, 4, 8), (2, 4, 1, 2), alike=0.25)}
    assert inside.distance(of) == pytest.approx(4)
    assert inside.late_distance(of) == pytest.approx(6 / 2)
    assert inside.late_diversity(of) == pytest.approx(1.5)
    assert inside.kept_diversity(of) == pytest.approx(1.5 / 3)
    assert inside.likeness(of) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "less, more, said",
    [
        ((1, 2, 3), (4, 5, 6), "**shows**, in every seed"),
        ((1, 2, 4), (3, 5, 6), "shows in the means; seeds overlap"),
        ((4, 5, 6), (1, 2, 3), "**the contrary**, in every seed"),
        ((3, 5, 6), (1, 2, 4), "**the contrary**"),
        ((1, 2, 3), (1, 2, 3), "does not show"),
    ],
)
def test_a_claim_shows_where_no_seed_is_on_the_wrong_side(less, more, said):
    claim = Claim("", "", inside.distance, ("a",), ("b",))
    assert inside.verdict(claim, {"a": less, "b": more}) == said


def test_between_both_is_neither():
    claim = Claim("", "", inside.distance, ("a",), ("b", "c"))
    assert inside.verdict(claim, {"a": [2], "b": [1], "c": [3]}) == "does not show"


@pytest.fixture
def seen():
    pixels = lambda k, seed: findings(far=(k, k, k, k + seed))  # noqa: E731
    return {title: [pixels(k, seed) for seed in range(3)] for k, title in enumerate(TITLES, 1)}


def test_the_page_says_what_shows_with_all_seeds(seen):
    text = inside.markdown(seen, dark_secrets.CLAIMS)
    assert len(text.splitlines()[0].split("|")) == 2 + 2 + len(TITLES) + 1
    # MAE's 3 pixels and a quarter of the seed; it should have been below the others' 1 and 2.
    row = next(line for line in text.splitlines() if "attends locally" in line)
    assert "| 3.25 (3–3.5) |" in row and "**the contrary**, in every seed" in row
    assert "3 seeds each, mean (least–most); 9 test images; branch online." in text
    assert "| Untrained | 1 (1–1) |" in text


def test_what_nobody_was_trained_for_is_not_answered(seen):
    del seen["MAE"]
    assert inside.answered(dark_secrets.CLAIMS, seen) == []
    text = inside.markdown(seen, [])
    assert text.startswith("| head_divergence, nats | block 1 |") and "finding" not in text


def test_a_picture_of_every_measure(seen, tmp_path):
    pytest.importorskip("matplotlib")
    drawn = inside.draw(seen, tmp_path, "toy")
    assert [path.name for _, path in drawn] == [
        f"toy_{name}.png" for name in (*inside.PICTURES, "layer_probes", "rank")
    ]
    assert all(path.stat().st_size > 1000 and caption for caption, path in drawn)


def test_runs_are_looked_into_once(finished_run, tmp_path, monkeypatch):
    (tmp_path / "mae").mkdir()
    (tmp_path / "mae" / "seed_0").symlink_to(finished_run)
    cases = [Case("mae", "MAE", (), None)]
    found = inside.looked_into(cases, tmp_path, seeds=1)
    assert [*found] == ["MAE", inside.UNTRAINED]
    for (of,) in found.values():
        of_first = [look["name"] for look in (*inside.LOOKS, *inside.PICTURED)]
        assert [one.name for one in of] == of_first
    assert found["MAE"][0][0].values != found[inside.UNTRAINED][0][0].values
    monkeypatch.setattr(inside.run, "analyzed", None)  # nothing is left to do
    again = inside.looked_into(cases, tmp_path, seeds=1)
    assert [one.measure for one in again["MAE"][0]] == [one.measure for one in found["MAE"][0]]
