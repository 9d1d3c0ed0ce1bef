"""The FCN head: its formula in float64, counts, and that of transformers in upernet_test.py."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax.errors import InvalidRngError

from m3i_jax import decoders
from tests.heads.layers import apply, conv_, count, drawn, features, head_, norm_, wide

X = features((2, 4, 3, 5), (2, 5, 3, 4))


def head(**how):
    return decoders.create({"name": "fcn", "width": 6, "dropout": 0.0, **how}, out=9)


@pytest.mark.parametrize("layers, concat, number", [(2, True, -1), (1, False, 0)])
def test_forward_in_float64(layers, concat, number):
    module = head(layers=layers, concat=concat, map=number)
    params = drawn(module, X)
    p, x = wide(params), np.float64(X.maps[number])
    for train in (False, True):
        unit = lambda p, y: np.maximum(norm_(p["norm"], conv_(p["conv"], y), train), 0)  # noqa: E731, B023
        y = x
        for i in range(layers):
            y = unit(p[f"layers_{i}"], y)
        y = unit(p["concat"], np.concatenate([x, y], -1)) if concat else y
        got = apply(module, params, X, train=train)
        np.testing.assert_allclose(got, head_(p["head"], y), rtol=1e-4, atol=1e-4)
    low = apply(head(layers=layers, concat=concat, map=number, dtype="bfloat16"), params, X)
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, apply(module, params, X), rtol=0.1, atol=0.1)


def test_dropout_needs_a_key_in_training_alone():
    module = head(dropout=0.1)
    params = drawn(module, X)
    np.testing.assert_array_equal(apply(module, params, X), apply(head(), params, X))
    with pytest.raises(InvalidRngError, match='"draw"|draw'):
        apply(module, params, X, train=True)


def test_counts():
    # CIM's head on a ResNet-50, and the auxiliary one of a ViT-B, for ADE20K.
    convs = 9 * 2048 * 512 + 9 * 512 * 512 + 9 * 2560 * 512
    module = decoders.create({"name": "fcn"}, out=150)
    assert count(module, (1, 64, 64, 2048)) == convs + 6 * 512 + 512 * 150 + 150 == 23_672_982
    module = decoders.create(dict(name="fcn", width=256, layers=1, concat=False, map=2), out=150)
    want = 9 * 768 * 256 + 2 * 256 + 256 * 150 + 150
    assert count(module, *[(1, 32, 32, 768)] * 4) == want == 1_808_534
