"""Maps behind blocks: which blocks, and every token in its place."""

import numpy as np
import pytest

from m3i_jax import geometry
from m3i_jax.types import Features


def test_blocks_have_numbers():
    assert geometry.numbered("last", (2, 2, 18, 2)) == ()
    assert geometry.numbered("stages", (2, 2, 18, 2)) == (2, 4, 22, 24)
    # DINOv2's four maps of a ViT-B and a ViT-L.
    assert geometry.numbered("stages", (12,)) == (3, 6, 9, 12)
    assert geometry.numbered("stages", (24,)) == (6, 12, 18, 24)
    assert geometry.numbered("stages", (2,)) == (1, 2)
    assert geometry.numbered((4, 6, 8, 12), (12,)) == (4, 6, 8, 12)


@pytest.mark.parametrize("blocks", [(), (0, 1), (3, 2), (2, 2)])
def test_numbers_rise_from_1(blocks):
    with pytest.raises(ValueError, match="expected numbers from 1 in rising order"):
        geometry.numbered(blocks, (4,))


def test_there_are_so_many_blocks():
    with pytest.raises(ValueError, match="blocks has 5, but the encoder has 4"):
        geometry.numbered((5,), (2, 2))


def test_tokens_are_where_they_were():
    # Images of 8 x 16 pixels: two blocks of cells of 2 pixels, one of cells of 4.
    fine = np.arange(2 * 32 * 3, dtype=np.float32).reshape(2, 32, 3)
    coarse = np.arange(2 * 8 * 5, dtype=np.float32).reshape(2, 8, 5)
    seen = Features(tokens=coarse + 100, layers=(fine - 1, fine, coarse))
    where = dict(strides=(2, 2, 4), size=(8, 16))
    first, second = geometry.mapped(seen, (2, 3), **where).maps
    assert first.shape == (2, 4, 8, 3) and second.shape == (2, 2, 4, 5)
    # Row by row: cell (3, 5) of the fine map is token 3 · 8 + 5.
    np.testing.assert_array_equal(first[1, 3, 5], fine[1, 3 * 8 + 5])
    np.testing.assert_array_equal(second[0, 1, 2], coarse[0, 1 * 4 + 2])
    (last,) = geometry.mapped(seen, (), **where).maps
    np.testing.assert_array_equal(last.reshape(2, 8, 5), seen.tokens)


def test_dropped_cells_leave_no_map():
    seen = Features(tokens=np.zeros((1, 3, 2)), index=np.zeros((1, 3), np.int32))
    with pytest.raises(ValueError, match="cells that were dropped leave no map"):
        geometry.mapped(seen, (), strides=(4,), size=(8, 8))
