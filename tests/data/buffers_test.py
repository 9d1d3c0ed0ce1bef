"""Rows written into their places are what NumPy stacks, and what does not fit is refused."""

import numpy as np
import pytest

from m3i_jax.data import buffers
from m3i_jax.types import Batch


def row(seed):
    draw = np.random.default_rng(seed)
    images = {"a": draw.integers(0, 256, (4, 5, 3), np.uint8), "l0": None}
    return Batch(images, {"a": draw.random(6, np.float32)}, np.int32(seed), None)


def test_rows_in_place_are_rows_stacked():
    batch = buffers.empty(row(0), 3)
    for index in (2, 0, 1):
        buffers.put(row(index), batch, index)
    rows = [row(index) for index in range(3)]
    assert type(batch) is Batch and batch.text is batch.images["l0"] is None
    np.testing.assert_array_equal(batch.images["a"], [one.images["a"] for one in rows])
    np.testing.assert_array_equal(batch.boxes["a"], [one.boxes["a"] for one in rows])
    assert batch.label.tolist() == [0, 1, 2] and batch.label.dtype == np.int32
    assert batch.images["a"].dtype == np.uint8
    assert buffers.size(batch) == 3 * (4 * 5 * 3 + 6 * 4 + 4)
    assert buffers.empty(True, 2).dtype == bool


@pytest.mark.parametrize(
    "other, said",
    [
        (dict(label=np.int64(1)), "a row has int64 of .., others of its batch int32"),
        (dict(label=np.zeros(1, np.int32)), "int32 of .1,., others of its batch int32 of .."),
        (dict(boxes={}), "a row has .., others of its batch .'a'."),
        (dict(text=np.zeros(2, np.int32)), "what others of its batch lack"),
        (dict(label=None), "what others of its batch lack"),
    ],
)
def test_what_numpy_would_make_fit_is_refused(other, said):
    batch = buffers.empty(row(0), 2)
    with pytest.raises(ValueError, match=said):
        buffers.put(row(1)._replace(**other), batch, 1)
