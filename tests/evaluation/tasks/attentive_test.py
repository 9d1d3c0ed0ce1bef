"""The task finds what a mean of tokens hides, and refuses what has no tokens."""

import types

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.views.rand_augment import RandAugment
from m3i_jax.evaluation.features import FeatureSet, NotMeasurable
from m3i_jax.evaluation.probes.logistic import lbfgs
from m3i_jax.evaluation.tasks import attentive, create
from tests.evaluation.shades import evaluation as shades


def tokens(count, seed):
    """One token of nine, marked, tells the class; the others say the opposite on the average."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count).astype(np.int32)
    x = rng.normal(size=(count, 9, 8)).astype(np.float32)
    place, side = rng.integers(0, 9, count), 2.0 * labels - 1
    x[..., 0] = rng.choice([-2.0, 2.0], (count, 9))
    x[np.arange(count), place, 0] = 2 * side
    x[..., 1] = 0
    x[np.arange(count), place, 1] = 4
    return FeatureSet(x, labels)


def evaluation(train, test, network=True):
    return types.SimpleNamespace(
        model=types.SimpleNamespace(network=network or None),
        labelled=lambda what, pool: (train, test),
    )


@pytest.mark.parametrize("form", ["capi", "aim"])
def test_a_token_is_found_that_the_mean_hides(form):
    train, test = tokens(400, 0), tokens(300, 1)
    how = dict(rates=(1e-5, 0.1), decays=(1e-3,), steps=150, warmup=10, batch=128, views=0)
    task = attentive(form=form, **how)
    found = task.measure(evaluation(train, test))
    assert found.metrics["top1"] > 0.95
    mean = [FeatureSet(t.features.mean(1), t.labels) for t in (train, test)]
    assert lbfgs(*mean).top1 < 0.75
    assert found.protocol["chosen"]["rate"] == 0.1
    assert found.counts == {"train": 360, "test": 300} and task.settings["form"] == form
    assert task.settings["pool"] == "tokens", "and not how others of the same call pool"


@pytest.mark.parametrize("form", ["capi", "aim"])
def test_the_encoder_may_be_in_the_step(form, monkeypatch):
    task, cut = attentive(form=form, rates=(0.01,), decays=(0.0,), epochs=2, batch=16), []
    apply = RandAugment.__call__
    monkeypatch.setattr(RandAugment, "__call__", lambda *a: cut.append(1) or apply(*a))
    found = task.measure(shades())
    assert found.counts == {"train": 36, "test": 18}
    assert found.protocol["steps"] == 5 and found.protocol["batch"] == 16
    assert (len(cut) >= 5 * 16) == (form == "aim") and (form == "aim" or not cut)
    grid = {"capi": (10, 3, "0.95"), "aim": (7, 2, "0.999")}[form]
    usual = attentive(form=form).settings
    assert (len(usual["rates"]), len(usual["decays"])) == grid[:2]
    assert grid[2] in usual["optimizer"]


def test_pixels_have_no_tokens():
    with pytest.raises(NotMeasurable, match="needs patch tokens, and raw pixels have none"):
        attentive().measure(evaluation(None, None, network=False))


@pytest.mark.parametrize(
    "block, sentence",
    [
        ({"form": "vit"}, "form is 'vit'"),
        ({"steps": 100, "warmup": 1250}, "a warm-up of 1250 steps leaves nothing of 100"),
        ({"rates": []}, "rates and decays are one or more"),
        ({"decays": [-1.0]}, "decays"),
        ({"form": "aim", "rates": [1e-6]}, "rates of this form fall to 2.5e-06, and 1e-06"),
    ],
)
def test_wrong_settings_are_sentences(block, sentence):
    with pytest.raises(ConfigError, match=sentence):
        create([{"name": "attentive", **block}])
