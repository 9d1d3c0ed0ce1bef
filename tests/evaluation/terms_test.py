"""What a run's own terms say of whole images, against float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import cli, methods, networks
from m3i_jax.evaluation import terms
from m3i_jax.training.assemble import objective
from m3i_jax.training.config import Config


def test_a_method_says_what_tells_images_by_labels_and_by_texts():
    label, text = terms.Pair("category", "category"), terms.Pair("text", "text")
    for name in ("classification", "mixed_classification", "m3i"):
        assert terms.pair(methods.METHODS[name](), "label") == label
    for name in ("cim_classification", "moco_v3_classification"):  # two methods at once
        config = Config.of(cli.load(f"digit_scenes/{name}").to_dict())
        assert terms.pair(objective(config), "label") == label
    for name in ("clip", "siglip", "m3i"):
        assert terms.pair(methods.METHODS[name](), "text") == text
    for name in ("mae", "clip", "byol"):
        assert terms.pair(methods.METHODS[name](), "label") is None
    assert terms.pair(methods.m3i(category=False), "label") is None
    assert terms.pair(methods.METHODS["classification"](), "text") is None


def told_by(**head):
    """A small network that tells images by the table "category"."""
    return networks.build(
        dict(name="vit_nano", width=16, depth=1, heads=2, patch=8),
        dict(category=dict(name="table", size=4, width=16, deviation=1.0)),
        dict(category=head),
        image=32,
        dtype="float32",
        out={"category": 16},
    )


def test_what_a_branch_lacks_is_named():
    pair, network = terms.Pair("category", "category"), told_by(name="linear", pool="mean")
    params = {"encoders": {"image": {}}}
    assert terms.lacking(network, params, pair) == ["tower 'category'", "decoder 'category'"]
    params = {"encoders": {"image": {}, "category": {}}, "decoders": {"category": {}}}
    assert terms.lacking(network, params, pair) == []


def test_a_head_without_parameters_is_lacking_nowhere(key):
    """As that of a fine-tuned Swin, whose average and checkpoints have no decoders at all."""
    network, pair = told_by(name="pooled", pool="mean"), terms.Pair("category", "category")
    whole = network.init(key)
    kept = {"encoders": whole["encoders"]}
    assert terms.lacking(network, kept, pair) == []
    assert terms.lacking(network, {"encoders": {"image": {}}}, pair) == ["tower 'category'"]
    features = network.encode(kept, "image", jax.random.normal(key, (2, 32, 32, 3)))
    right = (
        np.float64(features.tokens).mean(1) @ np.float64(kept["encoders"]["category"]["kernel"]).T
    )
    found = terms.logits(network, kept, pair, features)
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)


HEADS = dict(name="pooled", norm="layer"), dict(name="linear", pool="mean")


@pytest.mark.parametrize("head", HEADS)
def test_top1_counts_the_labelled_images_whose_own_logit_is_highest(key, head):
    bias = head["name"] == "pooled"
    network = networks.build(
        dict(name="vit_nano", width=16, depth=1, heads=2, patch=8),
        dict(category=dict(name="table", size=4, width=16, bias=bias, deviation=1.0)),
        dict(category=head),
        image=32,
        dtype="float32",
        out={"category": 16 + bias},
    )
    params = network.init(key)
    images = jax.random.normal(key, (24, 32, 32, 3))
    y = np.float64(network.encode(params, "image", images).tokens).mean(1)
    table = jax.tree.map(np.float64, params["encoders"]["category"])
    if bias:
        params["encoders"]["category"]["bias"] = jnp.arange(4.0)
        y = y - y.mean(1, keepdims=True)
        y = y / np.sqrt((y**2).mean(1, keepdims=True) + 1e-6)
        logits = y @ table["kernel"].T + np.arange(4)
    else:
        head = jax.tree.map(np.float64, params["decoders"]["category"]["head"])
        logits = (y @ head["kernel"] + head["bias"]) @ table["kernel"].T
    best = logits.argmax(1)
    labels = np.where(np.arange(24) % 2, best, (best + 1) % 4)
    labels[:6] = -1
    pair, features = terms.Pair("category", "category"), network.encode(params, "image", images)
    scores = terms.logits(network, params, pair, features)
    np.testing.assert_allclose(scores, logits, rtol=1e-4, atol=1e-5)
    got = terms.top1(scores, labels)
    np.testing.assert_allclose(got, 0.5, rtol=1e-6)  # 9 of 18 that have a label
    assert len(set(best)) > 1


def test_heads_that_an_image_passes_through_are_between():
    network = networks.build(
        dict(name="vit_nano", width=16, depth=1, heads=2, patch=8),
        dict(category=dict(name="table", size=4, width=8, deviation=1.0)),
        dict(
            projector=dict(name="mlp", hidden=8, out=8, layers=2, norm="layer"),
            category=dict(name="linear", pool="class", input="projector"),
        ),
        image=32,
        dtype="float32",
        out={"category": 8},
    )
    params = network.init(jax.random.key(0))
    features = network.encode(params, "image", jax.random.normal(jax.random.key(1), (3, 32, 32, 3)))
    behind = network.refine(params, "projector", features, grid=(4, 4))
    head = jax.tree.map(np.float64, params["decoders"]["category"]["head"])
    expected = np.float64(behind.pooled) @ head["kernel"] + head["bias"]
    pair = terms.Pair("category", "category", ("projector",))
    told = terms.told(network, params, pair, features)
    np.testing.assert_allclose(told, expected, rtol=1e-5, atol=1e-6)
