"""Objects as a task: average precision of what a run's own head finds, beside a guess."""

import sys

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.dense import judged
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tasks import create
from tests.evaluation.dense.scenes import Squares
from tests.evaluation.detection.found_test import Bright
from tests.two_processes import as_two

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2)


@pytest.fixture
def evaluation():
    sizes = ((16, 16), (20, 24))
    data = Data("squares", lambda split, classes: Squares({"train": 30, "test": 10}[split], sizes))
    return Evaluation(models.fresh(BLOCK), data, batch=4, quiet=True)


@pytest.mark.parametrize("name, headline", [("detection", "ap"), ("instance", "mask_ap")])
def test_what_is_bright_is_found(evaluation, monkeypatch, name, headline):
    monkeypatch.setattr(judged, "own", lambda model, view: Bright())
    (task,) = create([{"name": name}])
    assert task.metric == f"eval/{name}/{headline}"
    measured = task.measure(evaluation)
    numbers = measured.metrics
    assert numbers["ap50"] == 1.0 and numbers["ap"] > 0.6, "to a pixel of a resized view"
    assert numbers["constant"] < 0.2 < numbers["ap"]
    assert ("mask_ap" in numbers) == (name == "instance")
    # Masks are of whole pixels, which boxes of a resized view are not.
    assert name == "detection" or np.isclose(numbers["mask_ap"], numbers["ap"], atol=0.2)
    assert measured.counts == {"test": 10} and measured.protocol == {"head": "own"}


@pytest.mark.parametrize("name", ["detection", "instance"])
def test_two_processes_find_what_one_does(evaluation, monkeypatch, tmp_path, name):
    """Each looks at every second image, and both know of all of them."""
    monkeypatch.setattr(judged, "own", lambda model, view: Bright())
    (task,) = create([{"name": name, "results": str(tmp_path)}])
    right, seen = task.measure(evaluation), []
    (file,) = tmp_path.iterdir()
    written = file.read_bytes()

    def noted(rows, *about, **options):
        for row in rows:
            seen.append(row.number)
            yield row

    monkeypatch.setattr(sys.modules["m3i_jax.evaluation.tasks.detection"], "counted", noted)
    for found in as_two(monkeypatch, lambda share: task.measure(evaluation)):
        assert found == right
    assert sorted(seen) == list(range(10)), "each image once"
    assert file.read_bytes() == written


def test_splits_of_other_categories_are_refused(monkeypatch):
    monkeypatch.setattr(judged, "own", lambda model, view: Bright())
    splits = {"train": Squares(3), "test": Squares(3)}
    splits["test"].object_names = ("circle",)
    data = Data("squares", lambda split, classes: splits[split])
    (task,) = create([{"name": "detection"}])
    with pytest.raises(ConfigError, match="category 0 of objects is 'square' in training and 'ci"):
        task.measure(Evaluation(models.fresh(BLOCK), data, batch=4, quiet=True))


def test_who_has_no_head_finds_nothing(evaluation):
    (task,) = create([{"name": "detection"}])
    with pytest.raises(NotMeasurable, match="has no head that finds objects: measure a run"):
        task.measure(evaluation)
