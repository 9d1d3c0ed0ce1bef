"""The measures are the functions of whole attention, of every encoder by its own geometry."""

import jax
import numpy as np
import pytest

from m3i_jax import analysis
from m3i_jax.analysis import measures, run
from m3i_jax.evaluation import datasets, models
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.nn.windows import cells
from tests.evaluation import toy_models

NAMES = ("attention_distance", "attention_entropy", "head_divergence")
VIT = dict(name="vit_nano", image=32, width=16, depth=2, heads=2, patch=8)
SWIN = dict(name="swin_v2_t", image=64, width=8, depths=(1, 2), heads=(1, 2), window=5)
DATA = datasets.of_run(toy_models.of_config("mae"))


def found(block, tmp_path, **settings):
    asked = measures.create([{"name": name, **settings} for name in NAMES])
    findings = run.analyzed(
        asked, [models.fresh(block)], on=[DATA], place=tmp_path, batch=10, quiet=True
    )
    return {one.name: one for one in findings}


def whole(block):
    """Attention weights of every test image, block by block."""
    model = models.fresh(block)
    evaluation = Evaluation(model, DATA, batch=10, quiet=True)
    source = evaluation.source("test")
    images = evaluation.mapped("test", lambda params, x: x.astype(np.float32), name="images")
    assert len(images.labels) == len(source)
    encode = jax.jit(lambda params, x: models.encode(model, params, x, attention=True).attention)
    return encode(model.params, images.features)


@pytest.mark.parametrize(
    ("block", "settings"),
    [
        (VIT, {}),
        (VIT | {"class_token": False, "relative_bias": "layer"}, {}),
        (VIT | {"relative_bias": "shared"}, {"renormalize": False}),
        (VIT | {"registers": 2}, {}),
    ],
    ids=["vit", "without class token", "rows as they are", "with registers"],
)
def test_a_vit(block, settings, tmp_path):
    attention = whole(block)
    how = dict(class_token=block.get("class_token", True), **settings)
    how |= dict(registers=block.get("registers", 0))
    distances = analysis.attention_distance(attention, (4, 4), 8, **how)
    findings = found(block, tmp_path, **settings)
    distance = findings["attention_distance"]
    assert distance.counts == {"test": 43} and distance.labels == {"blocks": ["1", "2"]}
    np.testing.assert_allclose(distance.values["heads"], distances.mean(1), rtol=1e-5)
    np.testing.assert_allclose(distance.values["mean"], distances.mean((1, 2)), rtol=1e-5)
    half = 1.96 * np.std(distances, axis=1, ddof=1) / 43**0.5
    np.testing.assert_allclose(
        np.subtract(distance.values["high"], distance.values["low"]), 2 * half, rtol=1e-3
    )
    entropies = analysis.attention_entropy(attention, **how).mean(1)
    np.testing.assert_allclose(findings["attention_entropy"].values["heads"], entropies, rtol=1e-5)
    pairs = analysis.head_divergence(attention, **how).mean(1)
    wanted = np.stack([pairs[:, 0, 1], pairs[:, 1, 0]], axis=1)
    np.testing.assert_allclose(findings["head_divergence"].values["heads"], wanted, atol=1e-6)


def test_swin(tmp_path):
    """Maps of 16 and 8 cells, whose windows of 5 are padded: one window at a time, by weights."""
    cuts = models.module(models.fresh(SWIN)).windows()
    findings = found(SWIN, tmp_path)
    for number, (weights, cut) in enumerate(zip(whole(SWIN), cuts, strict=True)):
        real = cells(cut) >= 0
        far = analysis.attention.distances(cut.size, patch=64 // cut.grid[0])
        weights = np.where(real[None, :, None, None, :], weights, 0)
        weights = np.float64(weights) / weights.sum(-1, keepdims=True)
        per_query = (weights * far).sum(-1).transpose(2, 0, 1, 3)[:, :, real]
        got = findings["attention_distance"].values["heads"][number]
        np.testing.assert_allclose(got, per_query.mean((1, 2)), rtol=1e-5)
    assert findings["attention_distance"].labels["blocks"] == ["1.1", "2.1", "2.2"]
    assert findings["head_divergence"].labels["blocks"] == ["2.1", "2.2"]


def test_one_head_has_no_pair_and_a_broken_model_no_attention(tmp_path):
    with pytest.raises(NotMeasurable, match="nothing to show"):
        one = dict(VIT, heads=1)
        asked = measures.create([{"name": "head_divergence"}])
        list(run.analyzed(asked, [models.fresh(one)], on=[DATA], place=tmp_path, quiet=True))
    model = models.fresh(VIT)
    image = model.params["encoders"]["image"]
    broken = image | {"cls_token": image["cls_token"] * np.nan}
    model = model._replace(params={"encoders": {"image": broken}, "decoders": {}})
    with pytest.raises(NotMeasurable, match="43 of 43 rows have features that are not finite"):
        asked = measures.create([{"name": "attention_entropy"}])
        list(run.analyzed(asked, [model], on=[DATA], place=tmp_path, quiet=True))


def test_bfloat16_is_measured_in_float32(tmp_path):
    wide = found(VIT, tmp_path)["attention_entropy"].values["heads"]
    half = found(VIT | {"dtype": "bfloat16"}, tmp_path)["attention_entropy"].values["heads"]
    # Logits of products rounded to 2^-9, and no weights rounded besides.
    np.testing.assert_allclose(half, wide, rtol=2e-3)
    assert not np.array_equal(half, wide)
