"""Boxes pack and unpack; records are pytrees."""

import jax
import numpy as np

from m3i_jax.types import Box, Features


def test_a_packed_box_has_its_columns_in_the_order_of_the_fields():
    packed = np.arange(12.0).reshape(2, 6)
    box = Box.of(packed)
    np.testing.assert_array_equal(box.left, [1.0, 7.0])
    np.testing.assert_array_equal(box.frame, [5.0, 11.0])
    assert Box.of(box) is box


def test_records_are_pytrees_without_their_empty_fields():
    assert len(jax.tree.leaves(Features(tokens=np.zeros(3)))) == 1
