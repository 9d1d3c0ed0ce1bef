"""A page needs a run; its content is in analysis/page_test. Tables compare results of files."""

import subprocess
import sys

import pytest

from m3i_jax.evaluation import results
from m3i_jax.evaluation.results import Result
from tests.commands.starts import ROOT, refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--workdir={tmp}", "has no metrics.jsonl"),
        ("{tmp}", "there are no results; m3i evaluate writes them"),
        ("{tmp}/no.jsonl", "/no.jsonl'; expected work directories or results.jsonl"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    assert sentence in refused("report", line, tmp_path)


def test_files_and_work_directories_are_compared(tmp_path):
    made = Result({"eval/linear/top1": 0.5}, "ema", 5, {}, {}, "runs/mae@5", task="linear")
    results.write(tmp_path / "run", [made])
    other = made._replace(model="pixels", metrics={"eval/linear/top1": 0.75})
    results.write(tmp_path / "found.jsonl", [other])
    words = [sys.executable, "experiments/report.py", tmp_path / "run", tmp_path / "found.jsonl"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "model        linear top1",
        "runs/mae@5   50.0",
        "pixels       75.0*",
    ]
