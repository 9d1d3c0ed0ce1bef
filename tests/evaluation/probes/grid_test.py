"""The head is chosen where the plan says, on rows that no head has learnt from."""

import numpy as np
import optax
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes import cached, grid, heads
from m3i_jax.evaluation.probes.rows import split
from tests.evaluation.toy_features import standardised, tables

RULE = optax.trace(0.9)


def sets(**how):
    train, test = tables(**how)
    z = [standardised(train, t.features).astype(np.float32) for t in (train, test)]
    return FeatureSet(z[0], train.labels), FeatureSet(z[1], test.labels)


def plan(steps=40, batch=32, choose="held_out", rates=(1e-3, 0.1, 1.0), **how):
    still, rest = np.zeros(len(rates)), dict(batch=batch, steps=steps, choose=choose, **how)
    return grid.Plan(heads.linear, heads.linear_start, RULE, heads.cosine, rates, still, **rest)


def trained(plan, *kinds, cuts=()):
    names = [f"kind {i}" for i in range(len(kinds))]
    how = dict(choose=plan.choose, seed=plan.seed, what="heads")
    each = dict.fromkeys(names, cuts)
    rows = cached.of_sets(dict(zip(names, kinds, strict=True)), each, **how)
    return grid.train(plan, rows, what="heads")


def test_the_best_is_chosen_on_rows_that_none_learns_from():
    train, test = sets()
    _, held = split(150, choose="held_out", seed=0)
    found = trained(plan(), (train, test))
    scores = np.asarray(heads.scores(heads.linear, found.tables["kind 0"], train.features[held]))
    own = [(s.argmax(1) == train.labels[held]).mean() for s in scores]
    assert found.shares["kind 0"].tolist() == own and found.best == int(np.argmax(own))
    # Labels of the held-out rows move the choice and not the heads.
    wrong = train.labels.copy()
    wrong[held] = (wrong[held] + 1) % 3
    again = trained(plan(), (train._replace(labels=wrong), test))
    kernels = [f.tables["kind 0"].params["kernel"] for f in (again, found)]
    np.testing.assert_array_equal(*kernels)
    assert (again.shares["kind 0"] != found.shares["kind 0"]).any()
    rates = found.tables["kind 0"].rates
    np.testing.assert_allclose(rates, np.array(plan().rates) * 32 / 256, rtol=1e-6)
    assert (found.steps, found.batch, found.tested) == (40, 32, 80)


def test_the_papers_choice_is_on_test_and_learns_from_all_rows():
    found = trained(plan(choose="test"), sets())
    assert found.tally.metrics["top1"] == found.shares["kind 0"].max()


def test_kinds_are_trained_at_once_as_each_of_them_alone():
    train, test = sets()
    noise = np.random.default_rng(0).normal(size=(230, 9)).astype(np.float32)
    other = FeatureSet(noise[:150], train.labels), FeatureSet(noise[150:], test.labels)
    found = trained(plan(), other, (train, test))
    for kind, pair in enumerate((other, (train, test))):
        alone = trained(plan(), pair)
        kernels = [found.tables[f"kind {kind}"], alone.tables["kind 0"]]
        np.testing.assert_allclose(*(t.params["kernel"] for t in kernels), atol=1e-6)
    assert found.kind == "kind 1" and found.tally.metrics == alone.tally.metrics


def test_the_length_is_the_published_one_or_fewer_steps_on_less_data():
    rows = cached.of_sets({"x": sets()}, {"x": ()}, choose="held_out", seed=0, what="heads")
    assert rows.learn == 135 and rows.batch(1024) == 135 and rows.batch(50) == 50
    assert grid.length(plan(steps=7), rows) == 7
    assert grid.length(plan(steps=None, batch=1024), rows) == 100
    assert grid.length(plan(steps=None, batch=50, epochs=2), rows) == 6  # 270 rows
    large = rows._replace(learn=1_281_167)
    assert grid.length(plan(steps=None, batch=1024), large) == grid.STEPS
    on_eight = rows._replace(ways=8)
    assert on_eight.batch(1024) == 128 and rows._replace(learn=3, ways=8).batch(1024) == 8


def test_heads_that_all_diverged_are_a_sentence():
    with pytest.raises(ConfigError, match="heads: none has a finite score; try smaller rates"):
        trained(plan(rates=(1e39, 1e39)), sets())
