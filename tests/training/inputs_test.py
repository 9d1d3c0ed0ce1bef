"""What batches are made from: data that do not say what is read are refused before anything."""

import types

import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.framework import Code, Method
from m3i_jax.training import inputs


class Records(list):
    """A source of what it is made of."""

    name = "records"
    skeleton = types.SimpleNamespace(names="abcde", swapped=((0, 1),), upper=(0, 1))


def method(**said):
    codes = {"x": Code("a", fw.online())}
    return Method(codes | {name: Code(name, encoder) for name, encoder in said.items()}, {})


IMAGE = np.zeros((4, 4, 3), np.uint8)
MASK = np.zeros((4, 4), np.uint8)
POINTS = np.zeros((5, 3), np.float32)


def test_what_is_read_of_pixels():
    assert inputs._wanted(method(), Records()) is None
    reads = method(mask=fw.categories(classes=3), points=fw.key_points(points=5))
    assert reads.images == {"a"} and reads.annotations == ("mask", "points")
    records = Records([Sample(IMAGE), Sample(IMAGE, mask=MASK, points=POINTS)])
    wanted = inputs._wanted(reads, records)
    assert (wanted.names, wanted.points, wanted.categories) == (("mask", "points"), 5, 3)
    assert wanted.swapped == ((0, 1),)
    with pytest.raises(ConfigError, match="a mask names category 3, but there are 3, from 0; 255"):
        wanted.said(Sample(IMAGE, mask=MASK + 3, points=POINTS))
    wanted.said(Sample(IMAGE, mask=MASK + 255, points=POINTS))


def test_data_that_say_nothing_are_refused():
    reads = method(depth=fw.depths())
    with pytest.raises(ConfigError, match="'depth', of which none of 2 records of 'records'"):
        inputs._wanted(reads, Records([Sample(IMAGE)] * 2))


def test_key_points_are_as_many():
    records = Records([Sample(IMAGE, points=POINTS)])
    with pytest.raises(ConfigError, match="has 17 key points, config.objective.points, but .* 5"):
        inputs._wanted(method(points=fw.key_points(points=17)), records)
