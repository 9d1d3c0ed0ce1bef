"""What has no blocks says so; tests/analysis/sensitivity_test.py holds the numbers."""

import pytest

from m3i_jax.analysis import measures
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable

DATA = datasets.named("digit_scenes:length=60")
(MEASURE,) = measures.create([{"name": "drop_blocks"}])


def test_raw_pixels_have_no_blocks():
    with pytest.raises(NotMeasurable, match="raw pixels have no blocks"):
        MEASURE.measure(Evaluation(models.RAW, DATA, quiet=True), None)


def test_encoders_without_attention_have_blocks():
    model = models.fresh(dict(name="resnet_nano", image=16, width=4))
    shown = MEASURE.measure(Evaluation(model, DATA, batch=8, test_limit=8, quiet=True), None)
    assert {*shown.values} == {"1 − cosine", "1 − CKA", "kNN"}
    assert {len(row) for row in shown.values.values()} == {6} and shown.counts == {"test": 8}
