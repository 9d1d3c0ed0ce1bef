"""What has no heads says so; tests/analysis/sensitivity_test.py holds the numbers."""

import pytest

from m3i_jax.analysis import measures
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable

DATA = datasets.named("digit_scenes:length=60")
(MEASURE,) = measures.create([{"name": "drop_heads"}])


@pytest.mark.parametrize(
    "model, sentence",
    [
        (models.RAW, "raw pixels have no heads"),
        (models.fresh(dict(name="resnet_nano", image=16)), "a ResNet has no heads"),
    ],
)
def test_what_has_no_heads(model, sentence):
    with pytest.raises(NotMeasurable, match=sentence):
        MEASURE.measure(Evaluation(model, DATA, quiet=True), None)


def test_what_it_is_called_follows_what_is_measured():
    asked = measures.create([{"name": "drop_heads", "by": by} for by in ("cosine", "cka", "knn")])
    assert [measure.unit for measure in asked] == ["1 − cosine", "1 − CKA", "share"]
    assert [measures.written(measure) for measure in asked] == [
        "drop_heads",
        "drop_heads:by=cka",
        "drop_heads:by=knn",
    ]
