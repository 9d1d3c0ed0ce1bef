"""A record in bytes: there and back, from the format as it is written down, and damaged."""

import io
import json
import struct

import numpy as np
import pytest
from PIL import Image

from m3i_jax.data.sources import object_json, record
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.record import Record, decode, encode
from m3i_jax.data.sources.sample_objects import none
from tests.data.sources.object_json_test import same as same_objects
from tests.data.sources.sample_objects_test import WHOLE as OBJECTS
from tests.drawn_records import mutated

RNG = np.random.default_rng(0)
SAID = Annotations(
    RNG.integers(0, 256, (5, 7), dtype=np.uint8),
    np.array([0.1, 1, 2.5, 3], np.float32),
    RNG.normal(size=(5, 7)).astype(np.float32),
    np.array([[1.25, 2, 2], [0, 0, 0]], np.float32),
    OBJECTS,
)
WHOLE = Record(b"\xff\xd8 bytes", 3, ("a cat", "πάπια"), "cats/1.jpg", SAID)


def same(one, other):
    assert one[:4] == other[:4]
    for a, b in zip(one.annotations[:4], other.annotations[:4], strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    same_objects(one.annotations.objects or none(), other.annotations.objects or none())


def by_hand(header, *parts):
    text = json.dumps(header).encode()
    return b"M3I\x01" + struct.pack("<I", len(text)) + text + b"".join(parts)


def test_there_and_back():
    for one in (WHOLE, Record(b"x"), WHOLE._replace(annotations=SAID._replace(mask=None))):
        same(decode(encode(one)), one)
        assert record.captions(encode(one)) == one.captions


def test_the_format_as_it_is_written_down():
    file = io.BytesIO()
    Image.fromarray(SAID.mask).save(file, "PNG")
    objects = object_json.encode(SAID.objects)
    depth = b"".join(struct.pack("<f", value) for value in SAID.depth.ravel().tolist())
    header = {
        "parts": [
            ["image", 8],
            ["mask", len(file.getvalue())],
            ["depth", len(depth)],
            ["objects", len(objects)],
        ],
        "label": 3,
        "captions": ["a cat", "πάπια"],
        "name": "cats/1.jpg",
        "box": SAID.box.tolist(),
        "points": SAID.points.tolist(),
        "depth": [5, 7],
    }
    same(decode(by_hand(header, WHOLE.image, file.getvalue(), depth, objects)), WHOLE)
    data = encode(WHOLE)
    assert data[:4] == b"M3I\x01" and data.endswith(depth + objects)
    size = struct.unpack("<I", data[4:8])[0]
    assert json.loads(data[8 : 8 + size]).keys() == header.keys()


@pytest.mark.parametrize(
    "data, said",
    [
        (b"M3I", "ends after 3 bytes"),
        (b"\x0a\x00\x00\x00\x00\x00\x00\x00", "no record that m3i wrote"),
        (b"M3I\x02" + bytes(4), "of version 2, expected 1"),
        (b"M3I\x01" + struct.pack("<I", 2**31) + b"{}", "header has 2147483648 bytes"),
        (by_hand({"parts": [["image", 1]], "odd": 1}, b"x"), "not that of a record"),
        (by_hand({"parts": [["mask", 1]]}, b"x"), "where its image is"),
        (by_hand({"parts": [["image", True]]}, b"x"), "where its image is"),
        (by_hand({"parts": [["image", 1], ["other", 1]]}, b"xy"), "where its image is"),
        (by_hand({"parts": [["image", 1]]}, b"xy"), "have 1 bytes, but there are 2"),
        (by_hand({"parts": [["image", 1]], "label": "cat"}, b"x"), "label is 'cat'"),
        (by_hand({"parts": [["image", 1]], "captions": "cat"}, b"x"), "captions are no texts"),
        (by_hand({"parts": [["image", 1]], "box": ["a"]}, b"x"), "box is not made of numbers"),
        (by_hand({"parts": [["image", 1], ["mask", 1]]}, b"xy"), "mask or depth cannot be read"),
        (by_hand({"parts": [["image", 1], ["depth", 4]], "depth": [2, 1]}, b"xyyyy"), "4 bytes"),
    ],
)
def test_what_is_no_record_is_a_sentence(data, said):
    with pytest.raises(ValueError, match=said):
        decode(data)


def test_nothing_is_written_that_cannot_be_read():
    for odd in (
        Record(b""),
        Record(b"x", 2**31),
        Record(b"x", captions=("word " * record.MAX_HEADER,)),
        Record(b"x", annotations=Annotations(mask=SAID.mask.astype(np.int32))),
        Record(b"x", annotations=Annotations(box=np.array([np.nan] * 4, np.float32))),
    ):
        with pytest.raises(ValueError):
            encode(odd)


def test_damaged_records_are_refused_or_read():
    outcomes = {"read": 0, "refused": 0}
    for damaged in mutated(encode(WHOLE), count=1000):
        try:
            decode(damaged)
            outcomes["read"] += 1
        except ValueError:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 300 and outcomes["read"] > 30, outcomes
