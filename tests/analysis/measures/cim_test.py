"""CIM's measures are of runs of CIM; of others a sentence."""

import pytest

from m3i_jax.analysis import measures
from m3i_jax.evaluation import datasets
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation import toy_models


def test_another_run_is_refused(tmp_path):
    (measure,) = measures.create([{"name": "cim", "samples": 2}])
    assert measures.written(measure) == "cim:samples=2"
    with pytest.raises(NotMeasurable, match="'toy' is no run of CIM"):
        measure.measure(toy_models.evaluation(tmp_path), None)


def test_other_images_than_the_run_s_own_test_set_are_refused(tmp_path):
    (measure,) = measures.create([{"name": "cim"}])
    run = toy_models.of_config("cim")
    for of in (datasets.named("digit_scenes:length=9"), datasets.of_training(datasets.of_run(run))):
        with pytest.raises(NotMeasurable, match="on its own test images alone"):
            measure.measure(Evaluation(run, of), None)
