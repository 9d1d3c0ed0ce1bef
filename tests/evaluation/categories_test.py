"""A run's own classifier on whole images, against its logits in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import networks
from m3i_jax.evaluation import categories

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
    got = categories.top1(network, params, ("category", "category"), images, labels)
    np.testing.assert_allclose(got, 0.5, rtol=1e-6)  # 9 of 18 that have a label
    assert len(set(best)) > 1
