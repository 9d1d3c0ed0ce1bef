"""Epochs take crops in turn, each of them encoded once."""

import functools
import itertools
import types

import jax
import numpy as np
import pytest
from PIL import Image

from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import cached, heads
from m3i_jax.evaluation.probes.rows import split
from tests.evaluation.probes.grid_test import RULE, plan, sets, trained


def test_epochs_take_crops_in_turn():
    train, test = sets()
    noise = np.random.default_rng(0).normal(size=(2, *train.features.shape)).astype(np.float32)
    views = [train._replace(features=n) for n in noise]
    steps = plan(steps=12, batch=45)  # three of an epoch
    found = trained(steps, (train, test), cuts=views).tables["kind 0"]
    learn = split(150, choose="held_out", seed=0)[0]
    batches = [
        ({"x": noise[epoch % 2][learn[np.sort(rows)]]}, train.labels[learn[np.sort(rows)]])
        for epoch, rows in itertools.islice(heads.shuffled(135, batch=45), 12)
    ]
    start = functools.partial(heads.linear_start, width=6, classes=3)
    optimizer, how = heads.Optimizer(RULE, heads.cosine(12)), dict(rates=found.rates)
    key = jax.random.key(0)
    table = heads.fit(heads.linear, {"x": start}, optimizer, batches, key, **how)["x"]
    np.testing.assert_allclose(found.params["kernel"], table.params["kernel"], rtol=1e-5, atol=1e-6)


def test_crops_are_of_the_image_by_its_number():
    small = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    images = np.stack([np.asarray(Image.fromarray(image).resize((32, 32))) for image in small])
    asked = []

    def features(split, *, transform, **how):
        asked.append((split, transform.name, how))
        made = transform.apply(images, np.array([0, 1, 2]))
        assert made.shape == images.shape and made.dtype == np.uint8
        alone = transform.apply(images[1:2], np.array([1]))
        np.testing.assert_array_equal(alone[0], made[1])
        return FeatureSet(made.reshape(3, -1).astype(np.float32), np.array([0, -1, 1]))

    evaluation = types.SimpleNamespace(features=features)
    found = cached.crops(evaluation, 2, seed=3, pool="cls")
    assert [len(f.labels) for f in found] == [2, 2], "rows without a label are left out"
    assert abs(found[0].features - found[1].features).mean() > 5
    assert asked[0][0] == "train" and asked[0][1] != asked[1][1] and asked[0][2] == {"pool": "cls"}


def test_rows_judge_in_parts_and_each_once(monkeypatch):
    monkeypatch.setattr(cached, "LARGEST", 7)
    train, test = sets()
    rows = cached.of_sets({"x": (train, test)}, {"x": ()}, choose="held_out", seed=0, what="heads")
    for which, expected in (
        ("test", test.features),
        ("held_out", train.features[split(150, choose="held_out", seed=0)[1]]),
    ):
        parts = [*rows.judged(which, lambda tables, frozen, inputs: inputs["x"], None)]
        np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), expected)


def test_what_cannot_be_measured_is_a_sentence():
    train, test = sets()
    with pytest.raises(NotMeasurable, match="an attentive probe tells classes apart, but the tr"):
        one = FeatureSet(train.features[:1, None], train.labels[:1])
        cached.of_sets(
            {"x": (one, one)}, {"x": ()}, choose="test", seed=0, what="an attentive probe"
        )
