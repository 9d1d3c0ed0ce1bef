"""The report page of a work directory made by hand."""

import json
import os

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


def test_a_folder_whose_name_is_no_text_has_its_page(tmp_path):
    workdir = tmp_path / os.fsdecode(b"run \xff #1")
    (workdir / "images").mkdir(parents=True)
    (workdir / "images" / os.fsdecode(b"50% \xfe.png")).touch()
    lines = '{"step": 1, "train/intra": 1.0}\n{"step": 2, "train/intra": true}\n'
    (workdir / "metrics.jsonl").write_text(lines)
    text = page.write(workdir).read_text()  # UTF-8
    assert "<h1>run ? #1</h1>" in text and 'src="images/50%25%20%FE.png"' in text


def test_a_pipe_in_the_place_of_the_page_is_replaced(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "train/intra": 1.0}\n')
    os.mkfifo(tmp_path / "report.html")
    assert "curves.png" in page.write(tmp_path).read_text()
