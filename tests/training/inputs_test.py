"""What batches are made from: data that do not say what is read are refused before anything."""

import types

import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.sample_objects import SampleObjects
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
    assert inputs.wanted_of(method(), Records(), {}) is None
    reads = method(mask=fw.categories(classes=3), points=fw.key_points(points=5))
    assert reads.images == {"a"} and reads.annotations == ("mask", "points")
    records = Records([Sample(IMAGE), Sample(IMAGE, mask=MASK, points=POINTS)])
    wanted = inputs.wanted_of(reads, records, {})
    assert (wanted.names, wanted.points, wanted.categories) == (("mask", "points"), 5, 3)
    assert wanted.swapped == ((0, 1),)
    with pytest.raises(ConfigError, match="a mask names category 3, but there are 3, from 0; 255"):
        wanted.said(Sample(IMAGE, mask=MASK + 3, points=POINTS))
    wanted.said(Sample(IMAGE, mask=MASK + 255, points=POINTS))


def test_data_that_say_nothing_are_refused():
    reads = method(depth=fw.depths())
    with pytest.raises(ConfigError, match="'depth', of which none of 2 records of 'records'"):
        inputs.wanted_of(reads, Records([Sample(IMAGE)] * 2), {})


def test_key_points_are_as_many():
    records = Records([Sample(IMAGE, points=POINTS)])
    with pytest.raises(ConfigError, match="has 17 key points, config.objective.points, but .* 5"):
        inputs.wanted_of(method(points=fw.key_points(points=17)), records, {})


def test_objects_have_the_room_and_the_categories_that_are_asked_for():
    thing = SampleObjects(
        np.float32([[0, 0, 2, 2]]), np.int32([1]), np.zeros(1, bool), np.float32([4])
    )
    records = Records([Sample(IMAGE, objects=thing)])
    records.object_names = ("cat", "dog")
    room = dict(objects=7, outlines=9)
    wanted = inputs.wanted_of(method(objects=fw.objects(categories=2)), records, room)
    assert (wanted.kinds, wanted.places, wanted.side) == (2, 7, 0)
    outlined = method(objects=fw.objects(categories=2, outlines=True))
    assert inputs.wanted_of(outlined, records, room).side == 9 and wanted.shown == ()
    counted = method(objects=fw.objects(categories=2, counts=True))
    with pytest.raises(ConfigError, match="which 'records' does not say; read a file of COCO's"):
        inputs.wanted_of(counted, records, room)
    records.image_counts = np.array([3, 1])
    assert inputs.wanted_of(counted, records, room).shown == (3.0, 1.0)
    with pytest.raises(ConfigError, match="has 80 categories of objects, .* of 'records' are 2"):
        inputs.wanted_of(method(objects=fw.objects(categories=80)), records, room)
    stranger = Sample(IMAGE, objects=thing._replace(categories=np.int32([2])))
    with pytest.raises(ConfigError, match="an object is of category 2, but there are 2, from 0"):
        wanted.said(stranger)
