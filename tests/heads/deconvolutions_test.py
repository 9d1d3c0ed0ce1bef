"""Heads of heat maps: equations in float64 and counts; tests/parity has ViTPose of transformers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from tests.heads.layers import (
    apply,
    conv_,
    count,
    deconv_,
    drawn,
    features,
    head_,
    norm_,
    resize_,
    wide,
)  # fmt: skip

X = features((2, 3, 2, 4), (2, 2, 3, 5))


@pytest.mark.parametrize("layers", [1, 3])
def test_deconvolutions_in_float64(layers):
    block = {"name": "deconvolutions", "width": 6, "layers": layers}
    module = decoders.create(block, out=7)
    params = drawn(module, X)
    p, y = wide(params), np.float64(X.maps[1])
    for i in range(layers):
        layer = p[f"layers_{i}"]
        y = np.maximum(norm_(layer["norm"], deconv_(layer["conv"], y), True), 0)
    got = apply(module, params, X, train=True)
    assert got.shape == (2, 2 * 2**layers, 3 * 2**layers, 7)
    np.testing.assert_allclose(got, head_(p["head"], y), rtol=1e-4, atol=1e-4)
    low = decoders.create({**block, "dtype": "bfloat16"}, out=7)
    low = apply(low, params, X, train=True)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, got, rtol=0.1, atol=0.2)


def test_the_simple_decoder_in_float64():
    module = decoders.create({"name": "simple_decoder", "map": 0}, out=7)
    params = drawn(module, X)
    y = resize_(np.maximum(np.float64(X.maps[0]), 0), (12, 8))
    want = conv_(wide(params)["head"], y)
    np.testing.assert_allclose(apply(module, params, X), want, rtol=1e-4, atol=1e-5)
    low = decoders.create({"name": "simple_decoder", "map": 0, "dtype": "bfloat16"}, out=7)
    low = apply(low, params, X)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, want, rtol=0.1, atol=0.1)


def test_counts_and_start(key):
    # COCO's 17 joints: ViTPose-B's two decoders, and Simple Baseline's on a ResNet-50.
    head = 256 * 17 + 17
    classic = decoders.create({"name": "deconvolutions", "layers": 2}, out=17)
    want = 16 * 768 * 256 + 16 * 256**2 + 2 * 512 + head
    assert count(classic, (1, 16, 12, 768)) == want == 4_199_697
    simple = decoders.create({"name": "simple_decoder"}, out=17)
    assert count(simple, (1, 16, 12, 768)) == 9 * 768 * 17 + 17 == 117_521
    baseline = decoders.create({"name": "deconvolutions"}, out=17)
    want = 16 * 2048 * 256 + 2 * 16 * 256**2 + 3 * 512 + head
    assert count(baseline, (1, 8, 6, 2048)) == want == 10_491_665
    x = features((1, 2, 2, 64))
    for module in (classic, simple):
        for path in jax.tree.leaves(module.init(key, x)["params"]["head"]["kernel"]):
            assert 0.0008 < path.std() < 0.0012
