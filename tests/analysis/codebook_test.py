"""Usage of a codebook: from given choices, and of a run against the engine's own choices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import cli, data, framework, normalize
from m3i_jax.analysis import codebook
from m3i_jax.checkpoints import weights
from m3i_jax.data.epoch import epoch
from m3i_jax.evaluation import models
from m3i_jax.training.assemble import objective
from m3i_jax.training.config import Config
from m3i_jax.training.session import train
from m3i_jax.types import View


def test_usage_is_the_perplexity_of_the_choices():
    even = codebook.of_choices(np.repeat([1, 4, 5], 4), 8)
    assert even == codebook.Usage(3, pytest.approx(3.0, rel=1e-6), 8, 12)
    choice = np.array([[0, 0, 0], [0, 7, 2]])
    p = np.array([4, 1, 1]) / 6
    skewed = codebook.of_choices(choice, 8)
    assert skewed.used == 3
    assert skewed.effective == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-6)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Three steps of a tokenizer whose teacher is untrained."""
    config = cli.load("digit_scenes/vq_kd").to_dict()
    config.update(image=16, batch=8, duration="3 steps", warmup="1 steps")
    for block in (config["encoder"], config["towers"]["teacher"]):
        block.update(width=32, depth=1, heads=2, patch=4)
    config["weights"]["teacher"]["path"] = "untrained"
    config["decoders"]["bottleneck"].update(hidden=16, out=8)
    config["decoders"]["dense"].update(width=32, heads=2)
    config["objective"].update(vocabulary=12)
    config["data"]["length"] = 60
    config.update(log=dict(every=1, images=0), checkpoint=dict(every=4, keep=2))
    path = tmp_path_factory.mktemp("run") / "tokenizer"
    assert train(Config.of(config), path) == 0
    return path


@pytest.mark.slow
def test_usage_counts_the_tokens_that_the_engine_chooses(workdir):
    found = codebook.usage(workdir, batch=7)
    trained = models.restore(workdir, branch="online")
    source = data.source(trained.config.data, split="test")
    rows = next(iter(epoch(source, batch=len(source), size=16)))
    images = normalize.channels(rows.batch.images["a"].astype(np.float32) / 255.0)
    method, book = objective(trained.config), weights.load_slot(workdir, "codebook")
    only = dataclasses.replace(method, codes={"x": method.codes["x"]}, terms={})
    states = {"codebook": jax.tree.map(jnp.asarray, book)}
    views = framework.prepare(only, trained.network, {"a": View(images)}, key=jax.random.key(0))
    codes, *_ = framework.encode(
        only, trained.network, trained.params, states, views, train=False, key=None
    )
    choice = np.asarray(codes["x"].target_index)
    assert found.patches == choice.size == len(source) * 16 and found.vocabulary == 12
    assert found.used == len(np.unique(choice)) > 1
    shares = np.bincount(choice.ravel(), minlength=12) / choice.size
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    # Another batch may round a cosine otherwise and turn a tie: 2 patches of a thousand.
    assert found.effective == pytest.approx(np.exp(entropy), rel=2e-3)
    fewer = codebook.usage(workdir, limit=5)
    assert fewer.patches == 5 * 16
