"""Accuracies of blocks: of the last one what the tasks find, of others by their own tokens."""

import types

import numpy as np
import pytest

from m3i_jax.analysis import measures
from m3i_jax.evaluation import datasets, tasks
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.probes.knn import knn
from tests.analysis import toy_blocks


@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_the_last_block_is_what_the_tasks_find(pool, tmp_path, caplog):
    caplog.set_level("INFO")
    evaluation = toy_blocks.evaluation(tmp_path, pool=pool)
    (measure,) = measures.create([{"name": "layer_probes", "k": 10}])
    shown = toy_blocks.shown(measure, evaluation)
    said = [one.message for one in caplog.records if one.name.endswith("progress")]
    assert said[0] == "probes of block 1 of 3"
    assert all(line.startswith("probes of block ") for line in said), "a line for a model"
    blocks = [{"name": "knn", "k": 10}, {"name": "linear"}]
    found = [task.measure(evaluation) for task in tasks.create(blocks)]
    metrics = found[0].metrics | found[1].metrics
    assert shown.values["knn"][-1] == metrics["top1_k10"]
    assert shown.values["linear"][-1] == metrics["top1"]
    assert shown.counts == found[0].counts
    for name in ("knn", "linear"):
        ends = list(zip(shown.values[name + "_low"], shown.values[name + "_high"], strict=True))
        assert ends == [wilson(share, shown.counts["test"]) for share in shown.values[name]]


def test_blocks_have_accuracies_of_their_own(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    settings = {"norm": False, "linear": False, "k": 5}
    (measure,) = measures.create([{"name": "layer_probes", **settings}])
    shown = toy_blocks.shown(measure, evaluation)
    assert "linear" not in shown.values
    sets = []
    for split in ("train", "test"):
        x = toy_blocks.tokens(evaluation, split=split)[:, :, 1:].mean(2)
        sets.append((x.astype(np.float32), evaluation.features(split).labels))
    for number in range(3):
        tables = [FeatureSet(x[:, number], labels) for x, labels in sets]
        assert shown.values["knn"][number] == knn(*tables, k=5)[5]


def test_training_images_are_not_measured_on(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    evaluation.data = datasets.of_training(evaluation.data)
    (measure,) = measures.create([{"name": "layer_probes"}])
    with pytest.raises(NotMeasurable, match="fitted to training images, and not measured on them"):
        measure.measure(evaluation, None)


def test_data_without_classes_has_none():
    (measure,) = measures.create([{"name": "layer_probes"}])
    silent = types.SimpleNamespace(
        source=lambda split: types.SimpleNamespace(classes=()),
        data=datasets.Data("silent", None),
    )
    with pytest.raises(NotMeasurable, match="a probe needs classes"):
        measure.measure(silent, None)
