"""Every model is measured by every task, on features that are made once."""

import shutil

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.faults import CheckpointError
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from m3i_jax.evaluation import datasets, models, results, run
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.refusals import Unread
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
    how = dict(train_limit=23, test_limit=11)
    compared = models.chosen(finished_run, baselines=True)
    found = run.evaluate(tasks, compared, **how)
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

    how = dict(train_limit=10, test_limit=10)
    compared = models.chosen(tmp_path, baselines=True)
    with pytest.raises(KeyboardInterrupt):
        run.evaluate([task("count", measure)], compared, **how)
    assert [result.branch for result in results.read(tmp_path)] == ["ema"]
    said = [r.message for r in caplog.records]
    for start in (
        f"{tmp_path}@8 on digit_scenes",
        "task 1 of 1: count",
        f"untrained:{tmp_path} on digit_sce",
    ):
        assert any(line.startswith(start) for line in said), said


class Nothing:
    """A data set of which nobody reads a record."""

    name, classes, evaluation_ratio = "nothing", ("a", "b"), 1.0

    def __len__(self):
        return 0

    def fingerprint(self):
        return ""


def test_models_on_other_data_go_where_they_are_told_with_intervals_and_versions(tmp_path):
    made_up = Nothing()
    fashion = datasets.Data("made up", lambda split, classes: made_up)

    def measure(evaluation):
        shares = {"top1": 0.75, "ece": 0.1, "none": None}
        return Measured(shares, {}, {"train": 9, "test": 20}, {"ece": (0.05, 0.2)})

    share = Task("share", "a share", "top1", "share", {}, measure)
    pixels = models.RAW._replace(image=8)
    made = [pixels, pixels._replace(name="other")]
    place = tmp_path / "found" / "all.jsonl"
    found = run.evaluate([share], made, on=[fashion, fashion._replace(name="2nd")], place=place)
    assert [(r.model, r.data) for r in found] == [
        ("pixels", "made up"), ("pixels", "2nd"), ("other", "made up"), ("other", "2nd"),
    ]  # fmt: skip
    low, high = found[0].intervals["eval/share/top1"]
    assert (low, high) == pytest.approx((0.5313, 0.8881), abs=1e-4)  # 15 of 20
    assert found[0].intervals["eval/share/ece"] == [0.05, 0.2] and found[0].task == "share"
    assert {"m3i_jax", "jax", "device"} <= found[0].versions.keys() and "T" in found[0].time
    assert results.read(place) == found and results.read(tmp_path) == []


def test_raw_pixels_that_no_task_can_tell_end_no_evaluation(finished_run, caplog):
    def measure(evaluation):
        if evaluation.model.branch == refused:
            raise NotMeasurable("the task wants heads")
        return Measured({"rows": 1.0})

    compared, others = models.chosen(finished_run, baselines=True), []
    others.append(task("more", lambda evaluation: Measured({"rows": 2.0})))
    refused = "pixels"
    found = run.evaluate([task("count", measure)], compared)
    assert [result.branch for result in found] == ["ema", "untrained"]
    assert "the task wants heads" in caplog.text
    refused, kept = "ema", []
    lacking = f"^count of {finished_run}@8: the task wants heads$"
    with pytest.raises(NotMeasurable, match=lacking):
        for result in run.evaluated([task("count", measure), *others], compared):
            kept.append((result.branch, result.task))
    assert kept == [
        ("ema", "more"), ("untrained", "count"), ("untrained", "more"),
        ("pixels", "count"), ("pixels", "more"),
    ], "what the others find is not lost"  # fmt: skip
    compared, refused = [models.RAW, *compared[:1]], ""
    with pytest.raises(NotMeasurable, match="^of pixels: 'pixels' is of no run, so nothing says"):
        for result in run.evaluated([task("more", measure)], compared):
            kept.append(result.branch)
    assert kept[5:] == ["ema"], "a model that is of no run does not end it"


def test_data_that_lack_what_a_task_wants_end_nothing_that_is_asked_of_others(tmp_path):
    def labels(evaluation):
        protocol.require_labels(evaluation.source("train"), split="train", what="the task")
        return Measured({"rows": 2.0})

    bare, sorted_ = Nothing(), Nothing()
    bare.classes, sorted_.account = (), protocol.Account(labelled=2)
    plain = datasets.Data("plain", lambda split, classes: bare)
    on = [plain, datasets.Data("sorted", lambda split, classes: sorted_)]
    wanting, place = task("labels", labels), tmp_path / "all.jsonl"
    tasks = [wanting, task("any", lambda evaluation: Measured({"rows": 1.0}))]
    compared = [models.RAW._replace(image=8), models.RAW._replace(image=8, name="other")]
    why = "the task needs classes, but the train split has no classes: it is not .* for each$"
    with pytest.raises(NotMeasurable, match=f"^labels on plain: {why}"):
        run.evaluate(tasks, compared[:1], on=on, place=place)
    found = [(result.data, result.task) for result in results.read(place)]
    assert found == [("plain", "any"), ("sorted", "labels"), ("sorted", "any")]
    with pytest.raises(ConfigError, match=f"^{why}"):  # of all that is asked: said once
        run.evaluate([wanting], compared, on=[plain], place=place)
    assert len(results.read(place)) == len(found)


def test_of_data_that_cannot_be_opened_no_task_is_begun(tmp_path, caplog):
    def opened(split, classes):
        raise ConfigError("there is no such folder")

    caplog.set_level("INFO")
    with pytest.raises(ConfigError, match="^there is no such folder$"):
        run.evaluate([task("any", lambda evaluation: Measured({"rows": 1.0}))], [models.RAW],
                     on=[datasets.Data("gone", opened)], place=tmp_path)  # fmt: skip
    assert "pixels on gone" in caplog.text and "task 1" not in caplog.text


def test_what_cannot_be_read_of_models_and_data_ends_nothing_of_the_others(tmp_path):
    """A data set with too many broken records, and a model whose checkpoint is damaged."""

    def reads(evaluation):
        if evaluation.data.name == "broken":
            raise TooManyUnreadable("9 of 10 records cannot be read")
        return Measured({"rows": 1.0})

    made_up, place = Nothing(), tmp_path / "all.jsonl"
    on = [datasets.Data(name, lambda split, classes: made_up) for name in ("broken", "sound")]
    damaged = Unread("runs/a@9", CheckpointError("step 9 is damaged"))
    compared = models.beside_baselines([damaged, models.RAW._replace(image=8)])
    tasks = [task("count", lambda evaluation: Measured({"rows": 2.0})), task("all", reads)]
    with pytest.raises(NotMeasurable) as said:
        run.evaluate(tasks, compared, on=on, place=place)
    assert str(said.value) == (
        "of runs/a@9: step 9 is damaged; all of pixels on broken: 9 of 10 records cannot be read"
    )
    found = [(result.data, result.task) for result in results.read(place)]
    assert found == [("broken", "count"), ("sound", "count"), ("sound", "all")]
    for model, kind in ((damaged, CheckpointError), (models.RAW, TooManyUnreadable)):
        with pytest.raises(kind, match="^(step 9 is damaged|9 of 10 records cannot be read)$"):
            run.evaluate(tasks[1:], [model], on=on[:1], place=place)  # alone it ends as what it is
