"""Every model is looked into once, pairs are compared, and every finding is a line."""

import numpy as np
import pytest

from m3i_jax.analysis import finding, run
from m3i_jax.analysis.measures import Look, Measure, Shown
from m3i_jax.evaluation import models
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation import toy_models


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
        raise NotMeasurable("there is nothing in there")

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
    assert "there is nothing in there" in caplog.text
    means = [one.values["mean"][0] for one in found if one.form == "layers"]
    (difference,) = found[-1].values["matrix"][0]
    assert difference == pytest.approx(means[0] - means[1], abs=1e-6)
    read = finding.read(tmp_path)
    assert [one.values for one in read] == [finding.rounded(one.values) for one in found]
    assert {one.data for one in read} == {found[0].data} and read[-1].other_weights


def test_models_with_nothing_to_show_are_an_error_in_the_end(tmp_path):
    model = models.pixels(toy_models.of(tmp_path))
    with pytest.raises(NotMeasurable, match="nothing to show of width, nothing"):
        wanted = measures()
        list(run.analyzed([wanted["width"], wanted["nothing"]], [model], quiet=True))
