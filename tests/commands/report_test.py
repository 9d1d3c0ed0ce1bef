"""The command: a page or a table; what is on them is in analysis/report and evaluation."""

import signal
import subprocess
import sys
import urllib.request

import pytest

from m3i_jax.evaluation import results
from m3i_jax.evaluation.results import Result
from tests import programs
from tests.analysis.report.places import workdir
from tests.commands.starts import ROOT, refused


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--workdir={tmp}", "nothing to show; expected work directories"),
        ("--table {tmp}", "there are no results; m3i evaluate writes them"),
        ("{tmp}/no.jsonl", "/no.jsonl'; expected work directories or results.jsonl"),
        ("--workdir=a {tmp}", "--workdir and places both say what is shown"),
        ("{tmp} --out={tmp}", "which is a folder; expected a file"),
        ("{tmp} --port=70000 --serve", "--port"),
        ("{tmp} --table --serve", "--table and --serve are different ways to show it"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    assert sentence in refused("report", line, tmp_path)


def report(*words):
    done = programs.run("report", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_of_a_run_is_in_its_work_directory(tmp_path):
    place = workdir(tmp_path / "run")
    assert report("--workdir", place) == f"{place}/report.html\n"
    assert "<h1>run</h1>" in (place / "report.html").read_text()
    out = tmp_path / "both.html"
    assert report(place, workdir(tmp_path / "other"), f"--out={out}") == f"{out}\n"
    assert "<h1>run, other</h1>" in out.read_text()


def test_a_table_of_files_and_work_directories(tmp_path):
    made = Result({"eval/linear/top1": 0.5}, "ema", 5, {}, {}, "runs/mae@5", task="linear")
    results.write(tmp_path / "run", [made])
    other = made._replace(model="pixels", metrics={"eval/linear/top1": 0.75})
    results.write(tmp_path / "found.jsonl", [other])
    assert report("--table", tmp_path / "run", tmp_path / "found.jsonl").splitlines() == [
        "model        linear top1",
        "runs/mae@5   50.0",
        "pixels       75.0*",
    ]


def test_a_served_page_is_there_until_it_is_interrupted(tmp_path):
    words = [
        sys.executable,
        "experiments/report.py",
        workdir(tmp_path / "run"),
        "--serve",
        "--port=0",
    ]
    # Tests in the background of a shell ignore the signal, and so would what they start.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as served:
        signal.signal(signal.SIGINT, before)
        address = served.stdout.readline().split()[0]
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert b"<h1>run</h1>" in answer.read()
        served.send_signal(signal.SIGINT)
        assert served.wait(60) == 0
