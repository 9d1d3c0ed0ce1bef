"""A work directory is read back: which branch, which step, which baselines."""

import jax
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models


def test_the_newest_step_and_the_moving_average_are_the_default(finished_run):
    found = models.restore(finished_run)
    assert (found.step, found.branch) == (8, "ema")
    assert models.restore(finished_run, step=4).step == 4
    assert models.restore(finished_run / "checkpoints" / "4").step == 4
    online = models.restore(finished_run, branch="online")
    same = jax.tree.map(
        np.array_equal, online.params["encoders"]["image"], found.params["encoders"]["image"]
    )
    assert not all(jax.tree.leaves(same))


@pytest.mark.parametrize(
    "where, branch, sentence",
    [("", "emma", "has the branches ema and online, not 'emma'"), ("no", "ema", "no checkpoints")],
)
def test_what_is_not_there_is_said(finished_run, where, branch, sentence):
    with pytest.raises(ConfigError, match=sentence):
        models.restore(finished_run / where, branch=branch)


def test_the_untrained_model_is_what_the_run_started_from(finished_run):
    fresh_model = models.untrained(models.restore(finished_run))
    fresh = fresh_model.network.init(jax.random.key(0))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, fresh_model.params, fresh)))
