"""Every model is looked into once, pairs are compared, and every finding is a line."""

import functools

import numpy as np
import pytest
from PIL import Image

from m3i_jax.analysis import finding, run
from m3i_jax.analysis.measures import Look, Measure, Rows, Shown
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.features import NotMeasurable
from tests.analysis import toy_blocks
from tests.evaluation import toy_models


@pytest.fixture
def folder(tmp_path):
    """Five images, and nothing that says what they are for."""
    (tmp_path / "images").mkdir()
    for i in range(5):
        image = np.full((8, 8, 3), 20 * i, np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{i}.png")
    return tmp_path / "images"


def measures():
    """One that compares what the blocks return, one that pixels have nothing for, one for none."""

    def mean(evaluation, rows):
        return Shown(
            "layers", {"mean": [x.mean() for x in rows.layers]}, counts={"test": len(rows.index)}
        )

    def across(first, second):
        return Shown("matrix", {"matrix": [[float(np.mean(first.layers[0] - second.layers[0]))]]})

    def network(evaluation, rows):
        if evaluation.model.network is None:
            raise NotMeasurable("raw pixels have no network")
        return Shown("pictures", {"width": evaluation.model.network.towers["image"].width})

    def nothing(evaluation, rows):
        raise NotMeasurable("there is nothing in toy")

    look = Look(layers=lambda x: x.mean((1, 2)))
    return {
        "mean": Measure("mean", "Means", "", {}, mean, lambda evaluation: look, across),
        "width": Measure("width", "Width", "", {}, network),
        "nothing": Measure("nothing", "Nothing", "", {}, nothing),
    }


def test_findings_of_each_model_and_of_the_pair(tmp_path, caplog):
    first = toy_models.of(tmp_path)
    second = models.untrained(first, seed=1)._replace(name="another")
    found = list(run.analyzed([*measures().values()], [first, second], batch=10, quiet=True))
    said = [(one.name, one.model, one.other) for one in found]
    assert said == [
        ("mean", "toy", ""),
        ("width", "toy", ""),
        ("mean", "another", ""),
        ("width", "another", ""),
        ("mean", "toy", "another"),
    ]
    sentence = "Nothing{}: there is nothing in {}"
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == [
        sentence.format("", "toy"),  # which it says itself
        sentence.format(" of another", "toy"),
    ]
    means = [one.values["mean"][0] for one in found if one.form == "layers"]
    (difference,) = found[-1].values["matrix"][0]
    assert difference == pytest.approx(means[0] - means[1], abs=1e-6)
    read = finding.read(tmp_path)
    assert [one.values for one in read] == [finding.rounded(one.values) for one in found]
    assert {one.data for one in read} == {found[0].data} and read[-1].other_weights


def test_a_folder_without_a_test_split_shows_its_training_images(folder, tmp_path):
    mean, model = measures()["mean"], models.fresh(toy_blocks.VIT)
    look = functools.partial(run.analyzed, [mean], [model], on=[datasets.named(str(folder))])
    how = dict(place=tmp_path, batch=10, quiet=True)
    with pytest.raises(NoSplit, match="; --split=train looks at the training images$"):
        list(look(**how))
    (found,) = look(**how, split="train", test_limit=4)
    assert found.data == f"{folder} (training)" and found.counts == {"test": 4}
    assert [one.data for one in finding.read(tmp_path)] == [found.data]


def test_models_that_have_seen_different_images_are_said_not_to_be_compared(tmp_path, caplog):
    mean = measures()["mean"]
    rows = {"mean": Rows((), [np.ones(2)], np.arange(2), np.zeros(2, int), 2)}

    def seen(model, data):
        texts = dict.fromkeys(run.Finding._fields, "") | dict(model=model, data=data, records=data)
        return run.Seen(run.Finding(**texts | dict(values={}, protocol={})), tmp_path, rows)

    assert list(run.pairs([mean], [seen("a", "x"), seen("a", "y")], seen("b", "z"))) == []
    sentence = "Means: a and b are not compared, as they have seen different images, on {} and on z"
    assert [one.message for one in caplog.records] == [sentence.format(data) for data in "xy"]
    # What one data set does not allow another does, and nothing is left to say.
    caplog.clear()
    (found,) = run.pairs([mean], [seen("a", "x"), seen("a", "y")], seen("b", "y"))
    assert (found.model, found.other, found.data) == ("a", "b", "y") and not caplog.records


def test_models_with_nothing_to_show_are_an_error_in_the_end(tmp_path):
    model = models.pixels(toy_models.of(tmp_path))
    with pytest.raises(NotMeasurable, match="nothing to show of width, nothing"):
        wanted = measures()
        list(run.analyzed([wanted["width"], wanted["nothing"]], [model], quiet=True))


def test_what_shows_nothing_is_known_before_any_pass(tmp_path, monkeypatch):
    model, wanted = toy_models.of(tmp_path), measures()
    monkeypatch.setattr(run, "observed", None)
    assert run.require([wanted["nothing"], wanted["mean"]], model) is None
    with pytest.raises(NotMeasurable, match="there is nothing in toy"):
        run.require([wanted["nothing"]], model)
    with pytest.raises(NotMeasurable, match="raw pixels have no blocks"):
        run.require([wanted["mean"]], models.pixels(model))
