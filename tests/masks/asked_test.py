"""Blocks that a decoder is asked for, and what is left to see."""

import jax
import numpy as np
import pytest

from m3i_jax import masks


@pytest.mark.parametrize("grid, kept", [((14, 14), 49), ((16, 16), 64), ((4, 6), 6), ((2, 2), 1)])
def test_a_context_and_the_blocks_that_it_lacks(grid, kept, key):
    draw = jax.jit(lambda k: masks.multiblock(k, 64, grid, 0.75))
    for k in jax.random.split(key, 3):
        visible, blocks = (np.asarray(x) for x in draw(k))
        assert (visible.sum((1, 2)) == kept).all() and blocks.shape == (64, 4, *grid)
        assert not (blocks & visible[:, None]).any()
        counts = blocks.sum((2, 3))
        assert counts.max() <= masks.most_of_block(grid)
        if grid[0] > 4:
            whole = blocks[counts == counts.max()]  # those that lost no cell: one rectangle for all
            assert len(whole) > 0.97 * counts.size
            assert 0.14 < counts.max() / np.prod(grid) < 0.22
            sides = {(m.any(1).sum(), m.any(0).sum()) for m in whole}
            assert len(sides) == 1 and np.prod(sides.pop()) == counts.max()


@pytest.mark.parametrize(
    "grid, left, asked", [((16, 16), 90, 8), ((14, 14), 69, 6), ((2, 4), 3, 1)]
)
def test_one_rectangle_on_a_torus_is_left_and_few_others_asked_for(grid, left, asked, key):
    draw = jax.jit(lambda k: masks.inverse_block(k, 200, grid, 0.65, asked=0.05))
    visible, blocks = (np.asarray(x) for x in draw(key))
    assert (visible.sum((1, 2)) == left).all() and not (blocks[:, 0] & visible).any()
    assert (blocks.sum((1, 2, 3)) == asked).all()
    assert masks.count_asked(grid, hidden=0.65, asked=0.05) == asked
    assert abs(visible.mean(0) - left / visible[0].size).max() < 0.15  # everywhere alike
    for mask in visible[:50]:
        rows, columns = mask.any(1).sum(), mask.any(0).sum()
        assert rows * columns - left < columns  # the last row alone is not whole
        assert grid[0] < 4 or 0.3 < rows / columns < 3
