"""The head is chosen where the plan says, on rows that no head has learnt from."""

import functools
import types

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes import grid, heads
from tests.evaluation.toy_features import standardised, tables

RULE = optax.trace(0.9)


def sets(**how):
    train, test = tables(**how)
    z = [standardised(train, t.features).astype(np.float32) for t in (train, test)]
    return FeatureSet(z[0], train.labels), FeatureSet(z[1], test.labels)


def plan(steps=40, batch=32, choose="held_out", rates=(1e-3, 0.1, 1.0)):
    optimizer = heads.Optimizer(RULE, heads.cosine(steps))
    still = np.zeros(len(rates))
    return grid.Plan(heads.linear, heads.linear_start, optimizer, rates, still, batch, choose)


def test_the_best_is_chosen_on_rows_that_none_learns_from():
    train, test = sets()
    learn, held = grid.split(150, plan())
    assert len(held) == 15 and sorted([*learn, *held]) == list(range(150))
    found = grid.train(plan(), (train, test), views=(), what="heads")
    scores = heads.scores(heads.linear, found.table, train.features[held])
    own = [(s.argmax(1) == train.labels[held]).mean() for s in scores]
    assert found.shares.tolist() == own and found.best == int(np.argmax(own))
    # Labels of the held-out rows move the choice and not the heads.
    wrong = train.labels.copy()
    wrong[held] = (wrong[held] + 1) % 3
    again = grid.train(plan(), (train._replace(labels=wrong), test), views=(), what="heads")
    np.testing.assert_array_equal(again.table.params["kernel"], found.table.params["kernel"])
    assert (again.shares != found.shares).any()
    np.testing.assert_allclose(found.table.rates, np.array(plan().rates) * 32 / 256, rtol=1e-6)


def test_the_papers_choice_is_on_test_and_learns_from_all_rows():
    train, test = sets()
    found = grid.train(plan(choose="test"), (train, test), views=(), what="heads")
    assert len(grid.split(150, plan(choose="test"))[0]) == 150
    tally = grid.measured(plan(), found, test)
    assert tally.metrics["top1"] == found.shares.max()


def test_epochs_take_crops_in_turn():
    train, test = sets()
    noise = np.random.default_rng(0).normal(size=(2, *train.features.shape)).astype(np.float32)
    views = [train._replace(features=n) for n in noise]
    steps = plan(steps=12, batch=45)  # three of an epoch
    found = grid.train(steps, (train, test), views=views, what="heads")
    learn = grid.split(150, steps)[0]
    batches = [
        (noise[epoch % 2][learn[np.sort(rows)]], train.labels[learn[np.sort(rows)]])
        for epoch, rows in heads.shuffled(135, batch=45, steps=12)
    ]
    start = functools.partial(heads.linear_start, width=6, classes=3)
    how = dict(rates=np.array(steps.rates) * 45 / 256)
    table = heads.fit(heads.linear, start, steps.optimizer, batches, jax.random.key(0), **how)
    np.testing.assert_allclose(
        found.table.params["kernel"], table.params["kernel"], rtol=1e-5, atol=1e-6
    )


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
    found = grid.crops(evaluation, 2, seed=3, pool="cls")
    assert [len(f.labels) for f in found] == [2, 2], "rows without a label are left out"
    assert abs(found[0].features - found[1].features).mean() > 5
    assert asked[0][0] == "train" and asked[0][1] != asked[1][1] and asked[0][2] == {"pool": "cls"}


def test_what_cannot_be_measured_is_a_sentence():
    train, test = sets()
    with pytest.raises(NotMeasurable, match="an attentive probe tells classes apart, but the tr"):
        one = FeatureSet(train.features[:1, None], train.labels[:1])
        grid.train(plan(), (one, one), views=(), what="an attentive probe")
