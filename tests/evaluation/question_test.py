"""What is told of answers, and heads that cannot be asked about one image."""

import math
from types import SimpleNamespace

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.question import Reply, refuse_untracked


def test_a_reply_has_the_measures_that_say_something():
    told = {"miou": 0.5, "ap": None, "ap_large": math.nan, "rmse": math.inf}
    assert Reply.of(told, {"miou": (0.4, 0.6)}, 3) == ({"miou": 0.5}, {"miou": (0.4, 0.6)}, 3, None)


def test_a_head_that_answers_about_a_batch_is_refused():
    run = SimpleNamespace(network=SimpleNamespace(untracked=frozenset({"category"})))
    refuse_untracked(run, ["segmentation"])
    with pytest.raises(ConfigError, match="config.decoders.category normalises over the batch"):
        refuse_untracked(run, ["segmentation", "category"])
