"""Every model is measured by every task, on features that are made once."""

import shutil

import pytest

from m3i_jax.evaluation import results, run
from m3i_jax.evaluation.tasks import Measured, Task


def task(name, measure):
    return Task(name, name, "rows", "count", {"of": name}, measure)


def test_every_model_is_measured_on_the_rows_asked_for(finished_run):
    seen = []

    def measure(evaluation):
        train, test = evaluation.labelled()
        seen.append((train, test))
        return Measured({"rows": 3.0, "none": None}, {"found": "it"}, {"test": len(test.labels)})

    tasks = [task("linear", measure), task("other", measure)]
    how = dict(baselines=True, train_limit=23, test_limit=11)
    found = run.evaluate(tasks, finished_run, **how)
    assert [r.branch for r in found] == ["ema"] * 2 + ["untrained"] * 2 + ["pixels"] * 2
    shapes = [(train.features.shape, test.features.shape) for train, test in seen]
    assert shapes == [((23, 32), (11, 32))] * 4 + [((23, 768), (11, 768))] * 2
    assert seen[0][0] is seen[1][0], "features are made once for all tasks"
    assert all(r.counts == {"test": 11} for r in found)
    assert found[1].metrics == {"eval/other/rows": 3.0}
    assert {"of": "other", "found": "it", "pool": "mean", "image": 16}.items() <= found[
        1
    ].protocol.items()
    assert results.read(finished_run)[-6:] == found


def test_what_is_measured_survives_what_follows(finished_run, tmp_path, caplog):
    caplog.set_level("INFO")
    shutil.copytree(finished_run / "checkpoints", tmp_path / "checkpoints")

    def measure(evaluation):
        if results.read(tmp_path):
            raise KeyboardInterrupt
        return Measured({"rows": 1.0})

    how = dict(baselines=True, train_limit=10, test_limit=10)
    with pytest.raises(KeyboardInterrupt):
        run.evaluate([task("count", measure)], tmp_path, **how)
    assert [result.branch for result in results.read(tmp_path)] == ["ema"]
    said = [r.message for r in caplog.records]
    for start in ("model 1 of 3: ema", "task 1 of 1: count", "model 2 of 3"):
        assert any(line.startswith(start) for line in said), said
