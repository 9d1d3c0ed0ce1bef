"""Numbers of the comparison against SciPy and hand-made tables."""

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.results import Result
from m3i_jax.studies import comparison
from m3i_jax.studies.study import Case, Collected, Study


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlation_is_that_of_scipy_with_ties(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 6, 12), rng.normal(size=12).round(1)
    np.testing.assert_array_equal(comparison.ranks(x), scipy.stats.rankdata(x))
    expected = scipy.stats.spearmanr(x, y).statistic
    assert comparison.spearman(x, y) == pytest.approx(expected, abs=1e-12)
    # Only the order counts.
    assert comparison.spearman(np.exp(x), y) == pytest.approx(expected, abs=1e-12)


def test_what_does_not_vary_has_no_rank_correlation():
    assert comparison.spearman([1.0, 1.0], [1.0, 2.0]) is None


def test_mean_and_deviation_of_seeds():
    assert comparison.mean_std([1.0, 2.0, 6.0]) == (3.0, pytest.approx(7.0**0.5))
    assert comparison.mean_std([5.0]) == (5.0, None)


def result(linear, knn, seed=0, branch="ema", step=7):
    metrics = {"eval/linear/top1": linear, "eval/knn/top1_k20": knn}
    protocol = dict(seed=seed, tera=8.7, device="cpu", jax="0")
    return Result(metrics, branch, step, protocol, {"train": 50, "test": 20})


@pytest.fixture
def studies():
    forms = [
        Case(n, f"form {n}", (p, 40.0), None) for n, p in (("a", 77.5), ("b", 78.8), ("k", 83.7))
    ]
    views = [Case("same_same", "both the same", (77.2, 48.6), None)]
    return [Study("Forms", tuple(forms)), Study("Views", tuple(views))]


@pytest.fixture
def found():
    runs = {
        "a": [result(0.20, 0.40), result(0.30, 0.40, seed=1)],
        "b": [],
        "k": [result(0.60, 0.30)],
        "same_same": [],
    }
    untrained = [result(0.15, 0.1, branch="untrained", step=0)]
    return Collected(runs, {("baselines", "untrained"): untrained, ("baselines", "pixels"): []})


def test_the_table_has_our_numbers_beside_the_paper_s(studies, found):
    text = comparison.markdown(studies, found)
    assert "| a | form a | 7 | 25.0 ± 7.1 | 40.0 ± 0.0 | 77.5 | 40.0 |" in text
    assert "| k | form k | 7 | 60.0 | 30.0 | 83.7 | 40.0 |" in text
    assert "|  | the encoder untrained |  | 15.0 | 10.0 |  |  |" in text
    assert "|  | raw pixels |  | – | – |  |  |" in text
    # What has not been run has no row, and a study without a run no table.
    assert "form b" not in text and "Views" not in text
    assert (
        "Seeds per form: 1 to 2; 8.700 TFLOP per run; branch ema; probes fitted on 50 images;"
        in text
    )


def test_the_order_is_compared_with_the_paper_s(studies, found):
    assert "Spearman" not in comparison.markdown(studies, found)  # of two it says nothing
    found.cases["b"].append(result(0.50, 0.35))
    sentence = "3 forms: linear probe +1.00; kNN, k = 20 -1.00."
    assert sentence in comparison.markdown(studies, found)


def test_a_study_has_columns_of_its_own_and_forms_that_diverged():
    cases = tuple(Case(n, n, (p,), None) for n, p in (("x", "diverged"), ("y", 83.3), ("z", None)))
    study = Study("Sampling", cases, ("ImageNet",), {"probe": "eval/linear/top1", "AUC": "auc"})
    runs = {name: [result(share, 0.5)] for name, share in (("x", 0.1), ("y", 0.6), ("z", 0.2))}
    runs["y"][0].metrics["auc"] = 0.75
    text = comparison.markdown(
        [study], Collected(runs, {("baselines", b): [] for b in ("untrained", "pixels")})
    )
    assert "| x | x | 7 | 10.0 | – | diverged |" in text
    assert "| y | y | 7 | 60.0 | 75.0 | 83.3 |" in text
    assert "| z | z | 7 | 20.0 | – | – |" in text
    assert "Spearman" not in text  # one number is left


def test_every_line_of_a_table_has_all_columns(studies, found):
    found.cases["same_same"].append(result(0.5, 0.5))
    lines = [x for x in comparison.markdown(studies, found).splitlines() if x.startswith("|")]
    assert {line.count("|") for line in lines} == {8}
    assert any(line.startswith("| same, same |") for line in lines)


def test_the_picture_has_a_panel_per_study_that_was_run(studies, found, tmp_path):
    one = Image.open(comparison.plot(studies, found, tmp_path / "one.png"))
    found.cases["same_same"].append(result(0.5, 0.5))
    two = Image.open(comparison.plot(studies, found, tmp_path / "two.png"))
    assert two.width > 1.8 * one.width and two.height == one.height
    four = Image.open(comparison.plot(studies * 2, found, tmp_path / "four.png"))
    assert four.width > 2.7 * one.width and four.height > 1.8 * one.height
    assert np.asarray(one.convert("L")).std() > 5


def test_a_table_is_pasted_between_its_marks():
    document = "# Title\n<!-- table -->\nold\n<!-- end -->\nrest | <!-- end -->\n"
    new = comparison.paste(document, "| new |")
    assert new == "# Title\n<!-- table -->\n| new |\n<!-- end -->\nrest | <!-- end -->\n"
    assert comparison.paste(new, "| new |") == new
    for broken in ("", "<!-- table -->", "<!-- end -->\n<!-- table -->"):
        with pytest.raises(ConfigError, match="to put a table between"):
            comparison.paste(broken, "new")
