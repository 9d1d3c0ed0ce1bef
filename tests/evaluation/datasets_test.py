"""Data sets are opened as training opens them."""

from m3i_jax.evaluation import datasets, models


def test_the_data_of_a_run_are_what_it_was_trained_on(finished_run):
    found = datasets.of_run(models.restore(finished_run))
    assert found.name == "digit_scenes"
    train = found.open("train", None)
    test = found.open("test", train.classes)
    assert len(train) == 60 and train.classes == test.classes
