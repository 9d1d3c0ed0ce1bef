"""Path rules: every pattern is of some path, and something trains."""

import jax.numpy as jnp
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import optimizer as optimizers
from m3i_jax.training import schema

LEAF = jnp.ones((2, 2))
PARAMS = {
    "encoders": {"image": {"head": {"kernel": LEAF, "bias": LEAF[0]}, "norm": {"mean": LEAF[0]}}},
    "decoders": {"dense": {"kernel": LEAF}},
}
STEPS = dict(batch=8, total=10, warmup=0)


def early(**block):
    """What the walk over a config does with its block, and then those that make no parameters."""
    block = {"name": "adamw", "lr": 0.1, **block}
    for place in schema.places({"optimizer": block}, patterns=("optimizer", "optimizer.schedule")):
        place.check()
    optimizers.check(block, **STEPS)


def late(**block):
    optimizers.create({"name": "adamw", "lr": 0.1, **block}, params=PARAMS, **STEPS)


@pytest.mark.parametrize(
    "block, sentence",
    [
        ({"freeze": ".*"}, "freeze = '.*' leaves nothing to train"),
        ({"lr_scale": [["^", 0]]}, "lr_scale = '^' leaves nothing to train"),
        ({"late": [[".*", 1]]}, "late[0][1] is 1, expected 0 or more and less than 1"),
        (
            {"limits": [["kernel", 2.0, 1.0]]},
            "('kernel', 2.0, 1.0), expected (pattern,",
        ),
        ({"limits": [["kernel", 1.0, 1.0]]}, "the least below the most"),
        ({"lr_scale": [["head", 0.5], ["head", 0.1]]}, "lr_scale has 'head' twice"),
        ({"clip": 1.0, "clip_by": "leaves"}, "did you mean 'leaf'?; patterns stand in a list"),
        ({"clip": 1.0, "clip_by": []}, "clip_by is empty"),
        ({"clip_by": ["head"]}, "but clip is off; set config.optimizer.clip=1.0"),
        ({"clip": 1e-30}, "clip is 1e-30, expected 1e-06 to"),
        ({"layer_decay": 1e-30}, "layer_decay is 1e-30, expected 0.1 to 1"),
        ({"no_decay": ""}, "no_decay is '', expected a pattern: an empty one matches everything"),
        ({"end_lr": 0.2}, "end_lr is 0.2, more than the peak of 0.1"),
        ({"schedule": {"name": "cosine", "start": 5}}, "schedule.start is 5, more than the peak"),
        ({"schedule": {"name": "cosine", "stairs": 10**9}}, "stairs is 1000000000, expected 0 to"),
        ({"schedule": {"name": "milestones", "milestones": [0.9, 0.1]}}, "ascending order"),
        (
            {"schedule": {"name": "milestones", "milestones": []}},
            "is [], expected 1 or more",
        ),
        ({"lr": 100}, "lr is 100, expected 1e-12 to 1: a step moves"),
        ({"lr": None, "base_lr": 1.0}, None),
    ],
)
def test_what_no_parameters_could_mean_is_refused_without_them(block, sentence):
    if sentence is None:  # 50 · 8 / 256 is a peak that somebody has
        return early(**block)
    for ask in (early, late):
        with pytest.raises(ConfigError) as error:
            ask(**block)
        assert sentence in str(error.value)


def test_a_base_rate_is_held_by_its_peak():
    with pytest.raises(ConfigError, match="base_lr is 50, a peak of 200 at a batch of 1024"):
        optimizers.check({"name": "sgd", "base_lr": 50}, batch=1024, total=10, warmup=0)


@pytest.mark.parametrize(
    "block, sentence",
    [
        ({"freeze": "encodres"}, "did you mean 'encoders', as in 'encoders/image/"),
        ({"no_decay": "bais$"}, "did you mean 'bias', as in 'encoders/image/head/bias'?"),
        ({"lr_scale": [["haed", 0.5]]}, "did you mean 'head', as in 'encoders/image/head/"),
        (
            {"late": [["zzz/kernel", 0.5]]},
            "4 parameters, such as 'decoders/dense/kernel'",
        ),
        ({"limits": [["scale$", 0.0, 1.0]]}, "limits = 'scale$' matches none of the 4 parameters"),
        ({"clip": 1.0, "clip_by": ["image", "text"]}, "clip_by = 'text' matches none"),
    ],
)
def test_a_pattern_of_no_path_is_refused_with_the_nearest(block, sentence):
    early(**block)
    with pytest.raises(ConfigError) as error:
        late(**block)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    "block, key",
    [
        ({"freeze": "kernel|bias"}, "freeze"),  # running statistics do not train
        ({"lr_scale": [["e", 0]]}, "lr_scale"),
        ({"late": [["[a-z]", 0.96]]}, "late"),  # from step 10 of 10
        ({"freeze": "encoders", "lr_scale": [["dense", 0]]}, "freeze"),
    ],
)
def test_rules_that_leave_nothing_to_train_are_refused(block, key):
    with pytest.raises(ConfigError, match=f"{key} = .* leaves nothing to train"):
        late(**block)


@pytest.mark.parametrize(
    "block",
    [
        {"no_decay": "(?!)"},  # no path is meant, and said
        {"freeze": "encoders", "lr_scale": [["dense", 0.5]]},
        {"late": [["kernel", 0.9]]},
        {"lr_scale": [["encoders", 0]], "limits": [["dense", -1.0, 1.0]]},
    ],
)
def test_rules_that_leave_something_are_taken(block):
    early(**block)
    late(**block)
