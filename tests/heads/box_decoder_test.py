"""DINO's decoder: what moves boxes, what the gradient reaches; layers are in tests/parity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.heads.box_decoder import BoxDecoder, BoxLayer
from m3i_jax.trees import count
from tests.heads.transformer_layers import normal

WIDTH, GRIDS = 8, ((3, 2), (2, 1))
X, CELLS = normal(1, 3, WIDTH), normal(1, 8, WIDTH, seed=1)
BOXES = np.float32(np.random.default_rng(2).uniform(0.2, 0.8, size=(1, 3, 4)))
MODULE = BoxDecoder(3, 2, 8, 4, GRIDS)


def perceptron_(p, name, x):
    for number in range(3):
        x = np.maximum(x, 0) if number else x
        x = x @ np.float64(p[f"{name}_{number}"]["kernel"]) + p[f"{name}_{number}"]["bias"]
    return x


@pytest.fixture(scope="module")
def made():
    """(params) -> what is said, and the gradient of where the last boxes are; drawn parameters."""
    shapes = jax.eval_shape(MODULE.init, jax.random.key(0), X, BOXES, CELLS, None)["params"]
    rng = np.random.default_rng(3)
    params = jax.tree.map(lambda leaf: np.float32(rng.normal(0, 0.5, leaf.shape)), shapes)

    @jax.jit
    def run(params):
        def last(params):
            said = MODULE.apply({"params": params}, X, BOXES, CELLS, None)
            return said.boxes[:, -1].sum(), said

        return jax.grad(last, has_aux=True)(params)

    return run, params


def test_boxes_are_said_from_those_that_the_layer_before_has_moved(made):
    """The first layer again, alone, and both of its boxes in float64."""
    run, params = made
    _, said = run(params)
    assert said.categories.shape == (1, 3, 3, 4) and said.boxes.shape == (1, 3, 3, 4)
    own = jax.tree.map(lambda leaf: leaf[0], params["blocks"]["layer"])
    waves = []
    for i in (1, 0, 2, 3):
        speed = 2 * np.pi * 10_000.0 ** (-np.arange(2) / 2)
        angle = np.float64(BOXES)[..., i, None] * speed
        waves.append(np.stack([np.sin(angle), np.cos(angle)], -1).reshape(1, 3, 4))
    hidden = np.concatenate(waves, -1)
    for number in range(2):
        p = params[f"position_{number}"]
        hidden = np.maximum(hidden, 0) if number else hidden
        hidden = hidden @ np.float64(p["kernel"]) + p["bias"]
    layer = BoxLayer(2, 8, GRIDS)
    x = layer.apply({"params": own}, X, np.float32(hidden), BOXES, CELLS, None)
    x = np.float64(x)
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    y = y * params["norm"]["scale"] + params["norm"]["bias"]
    sigmoid = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    logit = np.log(np.float64(BOXES) / (1 - np.float64(BOXES)))
    want = sigmoid(logit + perceptron_(params, "box", y))
    np.testing.assert_allclose(said.boxes[:, 0], want, rtol=1e-4, atol=1e-5)
    want = y @ np.float64(params["category"]["kernel"]) + params["category"]["bias"]
    np.testing.assert_allclose(said.categories[:, 0], want, rtol=1e-4, atol=1e-4)


def test_the_gradient_looks_back_once(made):
    """Of three layers that move boxes alike, the last two are reached by the last boxes."""
    run, params = made
    params = {**params, "box_2": {**params["box_2"], "kernel": 0 * params["box_2"]["kernel"]}}
    grads, said = run(params)
    far = np.log(np.float64(BOXES) / (1 - np.float64(BOXES))) + 3 * params["box_2"]["bias"]
    want = 1 / (1 + np.exp(-far))
    np.testing.assert_allclose(said.boxes[:, -1], want, rtol=1e-4)
    slope = 2 * (want * (1 - want)).sum((0, 1))
    np.testing.assert_allclose(grads["box_2"]["bias"], slope, rtol=1e-4)


def test_it_begins_where_boxes_are_and_sees_hardly_anything():
    said, _ = jax.jit(MODULE.init_with_output)(jax.random.key(0), X, BOXES, CELLS, None)
    np.testing.assert_allclose(said.boxes, np.repeat(BOXES[:, None], 3, axis=1), rtol=1e-5)
    assert abs(jax.nn.sigmoid(said.categories).mean() - 0.01) < 0.01


def test_count_of_the_published_one():
    grids = tuple((n, n) for n in (16, 8, 4, 2))
    module, d = BoxDecoder(6, 8, 2048, 91, grids), 256
    given = ((9, d), (9, 4), (340, d))
    x, boxes, cells = (jax.ShapeDtypeStruct((1, *shape), jnp.float32) for shape in given)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x, boxes, cells, None)["params"]
    square = d * d + d
    layer = 4 * square + 2 * square + 384 * (d + 1) + 2 * d * 2048 + 2048 + d + 6 * d
    shared = 2 * d * d + d + square + 2 * square + 4 * (d + 1) + 2 * d + 91 * (d + 1)
    assert count(shapes) == 6 * layer + shared == 9_628_767
