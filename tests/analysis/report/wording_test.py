"""What metrics are called, how they are measured, and which share a chart."""

import re

import pytest

from m3i_jax.analysis.report import wording


@pytest.mark.parametrize(
    "metric, name, branch",
    [
        ("probe/ema_knn/top1", "probe/knn/top1", "ema"),
        ("probe/online_category/top1", "probe/category/top1", "online"),
        ("validation/online/top5", "validation/top5", "online"),
        ("ema/momentum", "ema/momentum", ""),
        ("train/online_x", "train/online_x", ""),
    ],
)
def test_branches_are_parted_from_names(metric, name, branch):
    assert wording.parted(metric) == (name, branch)


@pytest.mark.parametrize(
    "name, title, unit",
    [
        ("train/loss", "Loss, all terms", ""),
        ("train/text_first", "text first", ""),
        ("train/intra/regularizer", "intra: regulariser", ""),
        ("information/intra/entropy", "intra: entropy", ""),
        ("information/text_first", "text first", ""),
        ("health/intra/rank", "intra: rank", ""),
        ("probe/knn/top1", "knn top1", "share"),
        ("probe/calibration/ece", "calibration ece", ""),
        ("validation/mean_per_class", "mean per class", "share"),
        ("balance/weight_sp", "weight of sp", ""),
        ("perf/data_wait", "Waiting for data", "share"),
        ("odd", "odd", ""),
    ],
)
def test_metrics_in_words(name, title, unit):
    assert (wording.title(name), wording.unit(name)) == (title, unit)


def test_every_metric_has_a_family():
    names = ["train/loss", "health/alarm", "ema/momentum", "perf/mfu", "odd/\n one", "step2"]
    for name in names:
        patterns = [p for kind in wording.KINDS for p in (kind.first, kind.rest)]
        assert any(re.fullmatch(p, name, re.DOTALL) for p in patterns), name
