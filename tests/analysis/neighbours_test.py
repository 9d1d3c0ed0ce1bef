"""Nearest rows are those of all cosines, whatever the size of a chunk."""

import numpy as np
import pytest

from m3i_jax.analysis import neighbours

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 6)).astype(np.float32)
QUERIES = np.array([0, 7, 49])


@pytest.mark.parametrize("chunk", [8, 25, 4096])
def test_nearest_rows_are_those_of_all_cosines(chunk, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK", chunk)
    rows, cosines = neighbours.nearest(X, QUERIES, k=4)
    u = np.float64(X) / np.linalg.norm(np.float64(X), axis=1, keepdims=True)
    near = u[QUERIES] @ u.T
    near[np.arange(3), QUERIES] = -2
    right = np.argsort(-near, axis=1)[:, :4]
    np.testing.assert_array_equal(rows, right)
    np.testing.assert_allclose(cosines, np.take_along_axis(near, right, 1), atol=1e-6)


def test_of_equal_ones_the_earlier_is_first_and_a_row_is_not_its_own_neighbour():
    rows, cosines = neighbours.nearest(np.ones((5, 3), np.float32), np.array([1]), k=9)
    assert rows.tolist() == [[0, 2, 3, 4]]
    np.testing.assert_allclose(cosines, 1, rtol=1e-6)
