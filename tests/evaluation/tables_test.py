"""Results side by side: the latest of each, the best marked, with intervals."""

from m3i_jax.evaluation.results import Result
from m3i_jax.evaluation.tables import arranged, compared


def result(model, data, value, task="linear", name="eval/linear/top1", **how):
    how = dict(model=model, data=data, task=task) | how
    return Result({name: value}, "ema", 5, {}, {"test": 100}, **how)


def test_models_are_rows_and_tasks_are_columns():
    interval = {"eval/linear/top1": [0.5, 0.625]}
    found = [
        result("runs/mae@5", "photos", 0.5),
        result("runs/mae@5", "photos", 0.5625, intervals=interval),  # measured again
        result("pixels", "photos", 0.25),
        result("pixels", "photos", 0.75, task="knn", name="eval/knn/top1_k20"),
        result("pixels", "digits", 0.125),
    ]
    assert compared(found).splitlines() == [
        "model        data     linear top1         knn top1_k20",
        "runs/mae@5   photos   56.2* (50.0–62.5)   –",
        "pixels       photos   25.0                75.0",
        "pixels       digits   12.5                –",
    ]


def test_only_the_headline_of_a_task_is_shown_unless_it_was_not_measured():
    metrics = {"eval/knn/top1_k10": 0.5, "eval/knn/top1_k20": 0.6}
    both = Result(metrics, "ema", 5, {}, {}, model="a", task="knn")
    other = Result({"eval/knn/top1_k5": 0.7}, "ema", 5, {}, {}, model="a", task="knn:k=5")
    assert compared([both]).splitlines()[0] == "model   knn top1_k20"
    assert compared([other]).splitlines() == ["model   knn:k=5 top1_k5", "a       70.0"]


def test_settings_of_a_task_are_columns_of_their_own():
    lars = "linear:recipe=lars,base_lr=3.2"
    found = [result("a", "", 0.5), result("a", "", 0.25, task=lars)]
    assert compared(found).splitlines() == [
        f"model   linear top1   {lars} top1",
        "a       50.0          25.0",
    ]


def test_results_of_before_have_no_names():
    old = Result({"eval/cim/nats": 1.23456}, "online", 7, {}, {})
    assert compared([old]).splitlines() == ["model      cim nats", "online@7   1.235"]


def test_less_is_better_where_the_task_says_so():
    found = [
        result(model, "", value, task="calibration", name="eval/calibration/ece")
        for model, value in (("a", 0.125), ("b", 0.25))
    ]
    assert compared(found).splitlines()[1:] == ["a       0.125*", "b       0.25"]


def test_what_was_measured_in_several_ways_is_not_mixed_up():
    """A number of the class token is no newer one of the mean; what is the same is not said."""
    found = [
        result("a", "", value)._replace(protocol={"pool": pool, "image": 32, "l2": value})
        for pool, value in (("mean", 0.5), ("cls", 0.25), ("mean", 0.75))
    ]
    assert compared([*found, result("b", "", 0.125)]).splitlines() == [
        "model         linear top1",
        "a pool=mean   75.0*",
        "a pool=cls    25.0",
        "b             12.5",
    ]


def test_the_accuracy_of_a_training_run_is_in_percent_as_others_are():
    found = result("a", "", 0.75, task="fine_tune", name="eval/fine_tune/top1")
    assert compared([found]).splitlines() == ["model   fine_tune top1", "a       75.0"]


def test_a_table_says_what_is_where_and_which_is_best():
    interval = {"eval/linear/top1": [0.5, 0.625]}
    found = [result("a", "photos", 0.5625, intervals=interval), result("b", "photos", 0.25)]
    table = arranged(found)
    column = ("linear", "eval/linear/top1")
    assert table.rows == [("a", "photos"), ("b", "photos")] and table.columns == [column]
    assert table.cells[table.rows[0], column] == (0.5625, [0.5, 0.625])
    assert [table.best(row, column) for row in table.rows] == [True, False]
