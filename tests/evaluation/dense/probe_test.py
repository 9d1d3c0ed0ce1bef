"""A head learns from the maps of an encoder that stays as it is."""

import jax
import numpy as np
import pytest

from m3i_jax import methods
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models
from m3i_jax.evaluation.dense import goals, probe, tested
from m3i_jax.evaluation.dense.probe import Plan
from tests.evaluation.dense.scenes import Squares

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=2, heads=2)
CROPS = dict(name="scale_jitter", base=None, scale=(1.0, 1.0))
ADAMW = dict(name="adamw", lr=0.03, weight_decay=0.0)


def plan(decoder, head, **lengths):
    return Plan(decoder, head, CROPS, ADAMW, **dict(batch=8, steps=60, warmup=5) | lengths)


@pytest.fixture(scope="module")
def model():
    return models.fresh(BLOCK)


def test_categories_are_told_apart_and_the_encoder_stays(model):
    head = dict(name="dense_linear", maps=(0, -1))
    reads = methods.segmentation(classes=2, blocks="stages")
    source, goal = Squares(40), goals.of_categories(2)
    found = probe.trained(model, source, reads, plan("segmentation", head))
    for ours, theirs in zip(
        jax.tree.leaves(found.params["encoders"]["image"]),
        jax.tree.leaves(model.params["encoders"]["image"]),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    numbers = tested.tested(found, Squares(20), goal, guess=goal.guess([source[0]])).numbers
    assert numbers["miou"] > 0.6 > numbers["constant"] + 0.1
    # Running statistics have followed the batches.
    norm = found.params["decoders"]["segmentation"]["norm"]
    assert np.abs(norm["mean"]).max() > 0.01
    other = probe.trained(model, source, reads, plan("segmentation", head, steps=2))
    assert (found.blocks, other.blocks) == ("stages", "stages")


def test_blocks_that_are_not_there_and_models_without_any(model):
    assert probe.every_map(model, "last") == (0,)
    assert probe.every_map(model, "stages") == (0, 1)
    with pytest.raises(ValueError, match="blocks has 3, but the encoder has 2"):
        probe.every_map(model, (3,))
    with pytest.raises(ConfigError, match="raw pixels have no encoder, and so no maps"):
        probe.every_map(models.RAW, "last")


def test_data_that_say_nothing_are_refused(model):
    head = dict(name="dense_linear")
    with pytest.raises(ConfigError, match="'mask', of which none of 2 records"):
        probe.trained(
            model, Squares(2, silent=(0, 1)), methods.segmentation(classes=2),
            plan("segmentation", head),
        )  # fmt: skip
