"""What places hold is read as it is; what is missing or damaged is a sentence."""

import json
import os
from pathlib import Path

import pytest

from m3i_jax.analysis.report import material
from m3i_jax.build import ConfigError
from tests.analysis.report.places import found, looked, measured, metrics, workdir


def test_all_files_of_a_run_are_read(tmp_path):
    place = workdir(tmp_path / "run", images=["views-00000040.png", "views-00000001.png", "x.png"])
    measured(place, ("run@40", 0.5, (0.4, 0.6)))
    looked(place, found("run@40"))
    of = material.read([place, place])
    (run,) = of.runs
    assert run.name == "run" and run.config["batch"] == 8 and run.starts[0]["total"] == 40
    assert run.metrics == sorted(metrics(), key=lambda line: line["step"])
    assert [(one.name, one.step) for one in run.pictures] == [("views", 1), ("views", 40)]
    assert [r.model for r in of.results] == ["run@40"]
    (one,) = of.findings
    assert one.finding.values["heads"] == [[1.0, 2.0], [3.0, 5.0]]
    assert one.folder == place / "analysis" and of.notes == []


def test_what_is_damaged_is_counted_and_said(tmp_path):
    place = workdir(tmp_path / "run")
    for name, line in {
        "metrics.jsonl": '{"step": 3, "train/lo',
        "results.jsonl": '{"metrics": 3}',
        "analysis.jsonl": '{"form": "heads"}\n[',
    }.items():
        with (place / name).open("a") as file:
            file.write(line + "\n")
    (place / "config.json").write_text("{")
    of = material.read([place])
    notes = "\n".join(of.notes)
    assert "config.json cannot be read: " in notes and of.runs[0].config == {}
    assert "metrics.jsonl has 1 damaged lines, which are left out" in notes
    assert "results.jsonl has 1 damaged lines" in notes
    assert "analysis.jsonl has 2 damaged lines" in notes


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", "results.jsonl", "starts.jsonl"])
def test_what_is_no_file_is_said(name, tmp_path):
    place = workdir(tmp_path / "run", images=["views-1.png"])
    (place / name).unlink(missing_ok=True)
    os.mkfifo(place / name)
    (note,) = [note for note in material.read([place]).notes if "cannot be read" in note]
    assert name in note


def test_a_run_that_has_not_logged_is_said(tmp_path):
    of = material.read([workdir(tmp_path / "run", lines=[])])
    assert of.notes == ["run: no step has been logged yet"]


def test_files_of_results_and_of_findings_are_told_apart(tmp_path):
    measured(tmp_path / "mine.jsonl", ("a", 0.5, (0.4, 0.6)))
    looked(tmp_path, found("a"), found("b"))
    of = material.read([tmp_path / "mine.jsonl", tmp_path / "analysis.jsonl"])
    assert [r.model for r in of.results] == ["a"] and not of.runs
    assert [one.finding.model for one in of.findings] == ["a", "b"]


def test_the_latest_of_two_findings_counts_with_its_own_folder(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    looked(first, found("m", values={"heads": [[1.0]]}))
    looked(second, found("m", values={"heads": [[2.0]]}))
    (one,) = material.read([first, second]).findings
    assert one.finding.values == {"heads": [[2.0]]} and one.folder == second / "analysis"


@pytest.mark.parametrize("line", ["", json.dumps({"step": 1})])
def test_nothing_to_show_is_a_sentence(line, tmp_path):
    (tmp_path / "found.jsonl").write_text(line)
    with pytest.raises(ConfigError, match="nothing to show"):
        material.read([tmp_path, tmp_path / "found.jsonl"])
    with pytest.raises(ConfigError, match="there is no 'nowhere'"):
        material.read(["nowhere"])


def test_names_are_as_short_as_they_can_be():
    folders = [Path(p) for p in ("/a/b/run", "/a/c/run", "/x/mae", "/")]
    assert material.apart(folders) == ["b/run", "c/run", "mae", "/"]
    assert material.apart([Path("/a/run"), Path("/a/run")]) == ["a/run", "a/run"]
