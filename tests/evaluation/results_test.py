import json
import os

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.evaluation import results
from m3i_jax.evaluation.results import Result
from tests.jsonfile_test import odd


def result(step=5000, **changes):
    made = Result(
        metrics=results.named("linear", top1=0.83056, top5=None),
        branch="ema",
        step=step,
        protocol={"pool": "mean", "l2": 1e-3},
        counts={"train": 1437, "test": 360},
    )
    return made._replace(**changes)


def test_names_hold_the_protocol():
    assert results.named("linear", top1=0.5, top5=None) == {"eval/linear/top1": 0.5}
    assert results.named("knn_20", top1=1) == {"eval/knn_20/top1": 1.0}


def test_what_is_written_is_read_again(tmp_path):
    path = results.write(tmp_path / "run", [result(), result(step=6000, branch="online")])
    results.write(tmp_path / "run", [result(step=7000)])
    assert [r.step for r in results.read(tmp_path / "run")] == [5000, 6000, 7000]
    assert results.read(tmp_path / "run")[0] == result()
    line = json.loads(path.read_text().splitlines()[1])
    assert line["metrics"] == {"eval/linear/top1": 0.83056} and line["branch"] == "online"
    assert results.read(tmp_path) == []


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"branch": "EMA"},
            "branch is 'EMA', expected one of ema, online, file, untrained, pixels",
        ),
        ({"metrics": {"top1": 0.5}}, "'top1' is no metric name"),
        ({"metrics": {"eval/linear/top1": float("nan")}}, "eval/linear/top1 is nan"),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_is_written(tmp_path, changes, sentence):
    results.write(tmp_path, [result()])
    with pytest.raises(ValueError, match=sentence):
        results.write(tmp_path, [result(step=1), result(**changes)])
    assert results.read(tmp_path) == [result()]


@pytest.mark.parametrize(
    "line, why",
    [
        ("[" * 100_000, "nested more than 64 deep"),
        ('{"metrics": {"eval/linear/top1": 1e999}}', "which no float is"),
        ("[1]", "expected an object with metrics, branch"),
        (json.dumps(result()._asdict() | {"step": "7"}), "step is no int"),
        (json.dumps(result()._asdict() | {"metrics": {"eval/linear/top1": [1]}}), "is no number"),
        (json.dumps(result()._asdict() | {"branch": "EMA"}), "branch is 'EMA'"),
        (json.dumps(result()._asdict())[:40], "line 2 is no result"),
    ],
)
def test_lines_of_others_are_left_out_and_said(tmp_path, caplog, line, why):
    path = results.write(tmp_path, [result()])
    path.write_text(path.read_text() + line + "\n")
    results.write(tmp_path, [result(step=6000)])
    assert [found.step for found in results.read(tmp_path)] == [5000, 6000]
    assert why in caplog.text and "line 2 is no result and left out" in caplog.text
    assert line in path.read_text(), "nothing of it is lost"


def test_the_table_is_aligned(capsys):
    results.show([result(), result(metrics={"eval/knn/top1_k20": 1.0}, branch="online", step=10)])
    assert capsys.readouterr().out.splitlines() == [
        "metric              branch   step     value   rows",
        "eval/linear/top1    ema      5000    83.06%    360",
        "eval/knn/top1_k20   online     10   100.00%    360",
    ]


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
def test_what_is_no_file_is_a_sentence_and_nobody_waits_for_it(kind, tmp_path):
    odd(kind, tmp_path / results.FILE)
    result = Result({"eval/knn/top1_k20": 0.5}, "ema", 1, {}, {})
    for act in (lambda: results.read(tmp_path), lambda: results.write(tmp_path, [result])):
        with pytest.raises(
            ConfigError, match="results.jsonl' cannot be read: it is no ordinary file"
        ):
            act()


@pytest.mark.parametrize(
    "field, value", [("step", "-1"), ("step", "true"), ("metrics", '{"eval/knn/top1_k20": true}')]
)
def test_counts_and_numbers_are_such(tmp_path, caplog, field, value):
    line = {"metrics": {}, "branch": "ema", "step": 1, "protocol": {}, "counts": {}}
    text = json.dumps({**line, field: "HERE"}).replace('"HERE"', value)
    (tmp_path / results.FILE).write_text(text + "\n")
    assert results.read(tmp_path) == [] and "is no result and left out" in caplog.text


def test_lines_of_earlier_versions_are_read_before_the_new_ones(tmp_path):
    old = {"metrics": {"eval/knn/top1_k20": 0.5}, "branch": "ema", "step": 5}
    (tmp_path / results.FORMER).write_text(json.dumps(old | {"protocol": {}, "counts": {}}) + "\n")
    results.write(tmp_path, [result(model="runs/mae@5000", task="linear")])
    found = results.read(tmp_path)
    assert [r.step for r in found] == [5, 5000] and found[0].model == ""
    assert results.read(tmp_path / results.FORMER) == found[:1]


@pytest.mark.parametrize("interval", [[0.1], ["a", "b"], 0.5, [True, False]])
def test_an_interval_is_two_numbers(tmp_path, caplog, interval):
    line = result()._asdict() | {"intervals": {"eval/linear/top1": interval}}
    (tmp_path / results.FILE).write_text(json.dumps(line) + "\n")
    assert results.read(tmp_path) == [] and "an interval is no two numbers" in caplog.text


def test_a_place_that_takes_no_results_is_refused_before_anything_is_measured(
    tmp_path, monkeypatch
):
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    for name in ("folder.jsonl", "pipe.jsonl"):
        with pytest.raises(ConfigError, match="it is no ordinary file"):
            results.check(tmp_path / name)
    (tmp_path / "text").write_text("")
    with pytest.raises(Unwritable, match="Not a directory"):
        results.check(tmp_path / "text" / "new.jsonl")
    results.check(tmp_path / "new" / "deep" / "new.jsonl")
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Unwritable, match="Permission denied"):
        results.check(tmp_path / "new.jsonl")
