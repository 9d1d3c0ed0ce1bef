"""Counts of hidden cells, and the cells that are left."""

from fractions import Fraction

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import masks

GRIDS = [(1, 1), (2, 2), (4, 4), (7, 5), (10, 10), (14, 14)]
SHARES = [0.0, 0.1, 0.35, 0.5, 0.6, 0.75, 0.9, 0.999, 1.0]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("share", SHARES)
def test_count_rounds_the_exact_product(grid, share):
    exact = Fraction(str(share)) * grid[0] * grid[1]
    assert masks.count(share, grid) == round(exact)


def test_count_table():
    # int(100·(1−0.9)) is 9 in floating point; 0.35·90 is 31.499….
    wanted = {(0.9, (10, 10)): 90, (0.7, (16, 16)): 179, (0.35, (9, 10)): 32, (0.5, (14, 14)): 98}
    wanted |= {(0.75, (14, 14)): 147, (0.6, (14, 14)): 118, (0.5, (5, 5)): 12, (0.5, (7, 5)): 18}
    assert {k: masks.count(*k) for k in wanted} == wanted
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            masks.count(share, (4, 4))


def test_indices_of_too_few_cells_are_loud():
    index = masks.indices(jnp.zeros((1, 2, 2), bool).at[0, 1, 0].set(True), 2)
    np.testing.assert_array_equal(index, [[2, 4]])
    gathered = jnp.take_along_axis(jnp.ones((1, 4)), index, axis=1)
    assert np.isnan(gathered[0, 1])
