"""The task measures the best head of all features and rates, and says which it was."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes import cached, grid, heads
from m3i_jax.evaluation.tasks import create, linear_grid
from m3i_jax.evaluation.tasks.linear_grid import RULE, inputs
from m3i_jax.types import Features
from tests.evaluation.shades import evaluation as shades
from tests.evaluation.toy_features import standardised, tables


def encoder(pooled=True, depth=4):
    def encode(params, images, layers):
        assert layers
        b = len(images)
        token = jnp.zeros((b, 5)) if pooled else None
        return Features(jnp.zeros((b, 4, 5)), token, layers=jnp.zeros((depth, b, 4, 5)))

    model = types.SimpleNamespace(network=object(), params={})
    return types.SimpleNamespace(model=model, image=8, encode=encode)


def test_the_features_are_dinov2s_where_there_is_a_class_token():
    every = inputs(encoder(), (), (1, 4))
    assert [(how["pool"], how["blocks"]) for how in every] == [
        ("cls", 1), ("both", 1), ("cls", 4), ("both", 4)
    ]  # fmt: skip
    mean = inputs(encoder(pooled=False, depth=2), (), (1, 4))
    assert mean == [{"pool": "mean", "blocks": 1}]
    with pytest.raises(ConfigError, match="the encoder has 2"):
        inputs(encoder(depth=2), (), (3,))


def test_the_best_of_all_is_measured(monkeypatch):
    train, test = tables()
    z = [standardised(train, t.features).astype(np.float32) for t in (train, test)]
    noise = np.random.default_rng(0).normal(size=(230, 6)).astype(np.float32)
    made = {
        "cls": (FeatureSet(z[0], train.labels), FeatureSet(z[1], test.labels)),
        "mean": (FeatureSet(noise[:150], train.labels), FeatureSet(noise[150:], test.labels)),
    }
    evaluation = encoder()
    evaluation.labelled = lambda what, pool, blocks: made[pool]
    how = dict(pools=("mean", "cls"), blocks=(1,), rates=(1e-6, 0.5), steps=60, batch=64, views=0)
    task = linear_grid(**how)
    found = task.measure(evaluation)
    chosen = found.protocol["chosen"]
    assert chosen["features"] == "cls of 1 blocks" and chosen["rate"] == 0.5
    rest = dict(batch=64, steps=60)
    still = np.zeros(2)
    plan = grid.Plan(
        heads.linear, heads.linear_start, RULE, heads.cosine, (1e-6, 0.5), still, **rest
    )
    of = dict(choose="held_out", seed=0, what="x")
    trained = grid.train(plan, cached.of_sets({"x": made["cls"]}, {"x": ()}, **of), what="x")
    assert found.metrics == trained.tally.metrics
    assert found.metrics["top1"] > 0.5
    assert task.settings["pool"] == ["mean", "cls"] and task.settings["blocks"] == [1]
    assert found.counts == {"train": 135, "test": 80}
    assert chosen["held_out_top1"]["cls of 1 blocks"] == trained.shares["x"].max()
    assert found.protocol["steps"] == 60 and found.protocol["batch"] == 64


@pytest.mark.parametrize("views", ["new", 2])
def test_crops_are_drawn_in_the_step_or_encoded_before(views):
    task = linear_grid(rates=(0.01, 1.0), steps=6, batch=16, views=views)
    found = task.measure(shades())
    assert found.counts == {"train": 36, "test": 18} and found.protocol["steps"] == 6
    assert 0 <= found.metrics["top1"] <= 1 and task.settings["views"] == views


def test_wrong_settings_are_sentences():
    for block, sentence in [
        ({"rates": []}, "rates and blocks are one or more"),
        ({"rates": [0.0]}, "rates"),
        ({"pools": ["max"]}, "max"),
        ({"choose": "train"}, "choose is 'train'"),
        ({"steps": 0}, "steps is 0"),
        ({"views": "fresh"}, "views is 'fresh'"),
    ]:
        with pytest.raises(ConfigError, match=sentence):
            create([{"name": "linear_grid", **block}])
