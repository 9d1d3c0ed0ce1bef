"""What queries of Mask2Former look at; tests/parity has the whole decoder beside transformers'."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import geometry
from m3i_jax.heads.mask_decoder import Level, MaskDecoder, MaskLayer, Predict, foreground
from m3i_jax.trees import count
from tests.heads.transformer_layers import normal


def predict():
    layers = tuple((normal(6, 6, seed=i), normal(6, seed=i + 3)) for i in range(3))
    return Predict(1 + normal(6, seed=7), normal(6, seed=8), layers)


def logits_(x, features, p):
    """Masks of queries in float64, (B, Q, h, w)."""
    x = np.float64(x)
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    y = y * p.scale + p.bias
    for number, (kernel, bias) in enumerate(p.layers):
        y = np.maximum(y, 0) if number else y
        y = y @ np.float64(kernel) + bias
    return np.einsum("bqc,bhwc->bqhw", y, np.float64(features))


def test_queries_look_where_their_resized_masks_are():
    x, features, p = normal(2, 5, 6), normal(2, 8, 6, 6, seed=1), predict()
    small = geometry.bilinear(features, (4, 3))
    got = foreground(x, small.reshape(2, 12, 6), p, jnp.float32)
    masks = logits_(x, features, p).transpose(0, 2, 3, 1)
    want = np.asarray(geometry.bilinear(np.float32(masks), (4, 3))).reshape(2, 12, 5)
    assert np.abs(want).min() > 1e-4  # none so near that rounding would decide
    np.testing.assert_array_equal(got[:, 0], np.swapaxes(want >= 0, 1, 2))


def test_a_query_whose_mask_is_nowhere_looks_everywhere_and_nothing_is_learned_of_it():
    p = predict()
    bias = np.float32([0, 0, 0, 0, 0, 5])
    p = p._replace(layers=(*p.layers[:2], (np.zeros((6, 6), np.float32), bias)))
    features = np.zeros((1, 4, 6), np.float32)
    features[0, :, 5] = -1, -2, -1, -3
    x = normal(1, 2, 6)
    assert np.asarray(foreground(x, features, p, jnp.float32)).all()
    features[0, 2, 5] = 1
    got = foreground(x, features, p, jnp.float32)
    np.testing.assert_array_equal(got[0, 0], [[False, False, True, False]] * 2)

    def seen(x):
        return jnp.where(foreground(x, features, p, jnp.float32), 1.0, 0.0).sum()

    assert not np.asarray(jax.grad(seen)(x)).any()


def test_a_masked_layer_reads_nothing_elsewhere():
    x, cells, keys = normal(1, 3, 8), normal(1, 4, 8, seed=1), normal(1, 4, 8, seed=2)
    level, mask = Level(cells, keys, cells), np.ones((1, 1, 3, 4), bool)
    mask[..., 2] = False
    module, position = MaskLayer(2, 8, jnp.float32), normal(3, 8, seed=3)
    params = jax.jit(module.init)(jax.random.key(0), x, position, level, mask)

    def total(level):
        return jnp.sin(module.apply(params, x, position, level, mask)).sum()

    grads = jax.jit(jax.grad(total))(level)
    for grad in (grads.cells, grads.keys):
        assert not np.asarray(grad[:, 2]).any() and np.asarray(grad[:, [0, 1, 3]]).any(-1).all()


def test_count_of_the_published_one():
    maps = [jax.ShapeDtypeStruct((1, n, n, 256), jnp.float32) for n in (4, 8, 16)]
    features = jax.ShapeDtypeStruct((1, 32, 32, 256), jnp.float32)
    module = MaskDecoder(100, 3, 8, 2048, 150)
    make = lambda *x: module.init(jax.random.key(0), *x, every=True)  # noqa: E731
    shapes = jax.eval_shape(make, maps, features)
    d = 256
    layer = 2 * 4 * (d * d + d) + (2 * d * 2048 + 2048 + d) + 6 * d
    shared = 200 * d + 3 * d + 2 * d + 3 * (d * d + d) + 151 * (d + 1)
    assert count(shapes["params"]) == 9 * layer + shared == 14_497_431
