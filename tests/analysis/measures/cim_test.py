"""CIM's measures are of runs of CIM; of others a sentence."""

import pytest

from m3i_jax.analysis import measures
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation import toy_models


def test_another_run_is_refused(tmp_path):
    (measure,) = measures.create([{"name": "cim", "samples": 2}])
    assert measures.written(measure) == "cim:samples=2"
    with pytest.raises(NotMeasurable, match="'toy' is no run of CIM"):
        measure.measure(toy_models.evaluation(tmp_path), None)
