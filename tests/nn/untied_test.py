"""Biases by places: content of places and a table of distances, for every pair of maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn.untied import UntiedPositions, distances

GRIDS = ((3, 4), (2, 2))


@pytest.fixture(scope="module")
def made():
    module = UntiedPositions(8, 2)
    params = module.init(jax.random.key(0), GRIDS)
    return module, jax.tree.map(
        lambda x: x + 0.1 * jnp.cos(jnp.arange(x.size).reshape(x.shape)), params
    )


def normed(x, layer):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return x * layer["scale"] + layer["bias"]


def reference(params, grids, asking):
    """The same in float64, one pair of tokens after the other."""
    p = jax.tree.map(np.float64, params["params"])
    where = [(m, r, c) for m, (h, w) in enumerate(grids) for r in range(h) for c in range(w)]
    place = lambda m, r, c: normed(p[f"rows_{m}"][r] + p[f"columns_{m}"][c], p[f"norm_{m}"])  # noqa: E731
    linear = lambda x, layer: (x @ layer["kernel"] + layer["bias"]).reshape(2, 4)  # noqa: E731
    queries = [at for at in where if at[0] in asking]
    bias = np.zeros((2, len(queries), len(where)))
    for i, (m, r, c) in enumerate(queries):
        q = linear(place(m, r, c), p[f"q_{m}"])
        for j, (n, y, x) in enumerate(where):
            k = linear(place(n, y, x), p[f"k_{n}"])
            table, wide = p[f"distance_{m}_{n}"], grids[m][1] + grids[n][1] - 1
            at = (r - y + grids[n][0] - 1) * wide + c - x + grids[n][1] - 1
            bias[:, i, j] = (q * k).sum(-1) / 2 + table[:, at]
    return bias


@pytest.mark.parametrize("asking", [None, (0,)])
def test_biases_are_those_of_the_formula(made, asking):
    module, params = made
    bias = module.apply(params, GRIDS, asking=asking)
    expected = reference(params, GRIDS, asking or (0, 1))
    assert bias.shape == (1, 2, 12 if asking else 16, 16)
    # Sums of 8 products of numbers about 1, in float32.
    np.testing.assert_allclose(bias[0], expected, atol=3e-6)


def test_a_distance_has_a_number_of_its_own():
    index = distances((3, 4), (2, 2))
    assert index.min() == 0 and index.max() == 4 * 5 - 1 and len(np.unique(index)) == 20
    # As far from the second cell of the other's row as the cell before from the first.
    assert index[5, 1] == index[4, 0] and index[5, 0] != index[4, 0]
