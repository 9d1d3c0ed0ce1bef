"""The report page of a work directory made by hand."""

import json

import pytest

from m3i_jax.analysis import page
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import results


def test_a_page_without_a_run_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="has no metrics.jsonl"):
        page.write(tmp_path)


def test_curves_bars_and_the_table_are_on_the_page(tmp_path):
    lines = [{"step": s, "train/intra": 1 / s, "probe/online_knn/top1": 0.1} for s in range(1, 9)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    found = [
        results.Result({"eval/linear/top1": value}, branch, 8, {}, {"test": 4})
        for branch, value in (("ema", 0.5), ("untrained", 0.2), ("pixels", 0.1))
    ]
    results.write(tmp_path, found)
    text = page.write(tmp_path).read_text()
    assert "report/curves.png" in text and "report/linear.png" in text and "50.00%" in text
    assert (tmp_path / "report" / "linear.png").stat().st_size > 1000


def test_the_page_shows_curves(finished_run):
    text = page.write(finished_run).read_text()
    assert "report/curves.png" in text and (finished_run / "report" / "curves.png").exists()
