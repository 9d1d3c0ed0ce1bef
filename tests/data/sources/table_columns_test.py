"""Which columns are which, and what they hold."""

import json

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import table_columns
from m3i_jax.data.sources.table_columns import (
    Asked,
    Column,
    annotations,
    chosen,
    image_bytes,
    labels,
)

pa = pytest.importorskip("pyarrow")
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def schema(features=None, **kinds):
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    return pa.schema(kinds, metadata=metadata)


def test_metadata_and_names_and_types_say_which_is_which():
    features = {
        "photo": {"_type": "Image"},
        "y": {"_type": "ClassLabel", "names": ["a", "b"]},
        "text": {"_type": "Value"},
    }
    found = chosen(
        schema(features, text=pa.string(), y=pa.int64(), photo=STRUCT), Asked(), what="x"
    )
    assert found == (Column("photo", True), Column("y"), Column("text"), ("a", "b"), ())
    plain = schema(id=pa.int64(), thumbnail=pa.binary(), jpg=pa.large_binary(), species=pa.string())
    assert chosen(plain, Asked(), what="x") == (("jpg", 0), ("species", 0), ("", 0), (), ())
    asked = Asked(image="thumbnail", captions=False)
    assert chosen(plain, asked, what="x").image.name == "thumbnail"
    several = schema(image=pa.binary(), captions=pa.list_(pa.string()), text=pa.string())
    assert chosen(several, Asked(), what="x").caption.name == "captions"
    assert chosen(several, Asked(captions=False), what="x").caption.name == ""
    assert chosen(several, Asked(caption="text"), what="x").caption.name == "text"


def test_a_wrong_column_is_a_sentence():
    table = schema(image=STRUCT, label=pa.int64(), width=pa.int64())
    with pytest.raises(ConfigError, match="x has no column 'lable'; did you mean 'label'"):
        chosen(table, Asked(label="lable"), what="x")
    with pytest.raises(ConfigError, match="column 'width' of x is int64, no image"):
        chosen(table, Asked(image="width"), what="x")
    with pytest.raises(ConfigError, match="no column of encoded images; there are: a .int64."):
        chosen(schema(a=pa.int64()), Asked(), what="x")
    broken = schema(image=STRUCT).with_metadata({"huggingface": "{"})
    assert chosen(broken, Asked(), what="x").names == ()


def column(*values, kind=None):
    whole = pa.array(values, kind)
    return pa.chunked_array([whole[:2], whole[2:]])


def test_labels_are_numbers_of_names(tmp_path):
    found = labels(column(1, None, 0, -1), ("a", "b"), tmp_path, None, what="x")
    assert found.codes.tolist() == [1, -1, 0, -1] and found.names == ("a", "b")
    found = labels(column(10, 2, None, -1, 10), (), tmp_path, None, what="x")
    assert found.names == ("2", "10") and found.codes.tolist() == [1, 0, -1, -1, 1]
    found = labels(column("b", "a", None, "b", ""), (), tmp_path, None, what="x")
    assert found.names == ("a", "b") and found.codes.tolist() == [1, 0, -1, 1, -1]
    words = column("b", "a", "b").dictionary_encode()
    assert labels(words, (), tmp_path, None, what="x").codes.tolist() == [1, 0, 1]
    with pytest.raises(ConfigError, match="x has the label 2, but 2 classes"):
        labels(column(1, 2), ("a", "b"), tmp_path, None, what="x")
    with pytest.raises(ConfigError, match="labels of x are no classes: one is 0.5"):
        labels(column(0.5, 1.0), (), tmp_path, None, what="x")
    found = labels(column(0.5, 1.0), (), tmp_path, None, what="x", asked=False)
    assert found.codes.tolist() == [-1, -1] and not found.names and "not read" in found.note
    for names in (("a", "b", "c"), ()):  # as pandas writes numbers with a missing one among them
        found = labels(column(2.0, None, 0.0, np.nan, 1.0), names, tmp_path, None, what="x")
        assert found.codes.tolist() == [2, -1, 0, -1, 1]
    found = labels(column(True, False, True), (), tmp_path, None, what="x")
    assert found.names == ("False", "True") and found.codes.tolist() == [1, 0, 1]
    assert (
        labels(column(0, 1, kind=pa.int8()), (), tmp_path, None, what="x").codes.dtype == np.int32
    )


def test_annotations_are_known_by_name_and_type():
    numbers, planes = pa.list_(pa.float32()), pa.list_(pa.list_(pa.int64()))
    found = chosen(
        schema(
            mask=STRUCT,
            image=STRUCT,
            bbox=pa.list_(pa.float32(), 4),
            depth=planes,
            keypoints=numbers,
        ),
        Asked(),
        what="x",
    )
    assert found.image == ("image", True)
    assert found.annotations == (("bbox", 0), ("depth", 0), ("mask", 1), ("keypoints", 0))
    assert "mask 'mask', points 'keypoints'" in found.said()
    of = dict.fromkeys(found.annotations) | {Column("bbox"): [1, 2, 3, 4]}
    said = annotations(of)
    assert said.box.tolist() == [2, 1, 4, 3] and said.mask is None
    others = schema(image=STRUCT, bbox=planes, mask=pa.string(), depth=pa.float64())
    assert chosen(others, Asked(), what="x").annotations == ()
    one = schema(image=STRUCT, box=numbers, bbox=numbers)
    assert chosen(one, Asked(), what="x").annotations == (("box", 0),)
    assert chosen(one, Asked(annotations=False), what="x").annotations == ()


def test_an_image_is_bytes():
    assert image_bytes(b"1") == b"1"
    for nothing in (None, b""):
        with pytest.raises(ValueError, match="no bytes of an image; a path alone is not followed"):
            image_bytes(nothing)


def test_the_library_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        ConfigError, match=r"reading x needs pyarrow: pip install 'm3i_jax.parquet.'"
    ):
        table_columns.pyarrow("x")


def test_names_that_are_none_and_a_column_that_is_there_twice():
    said = {"y": {"_type": "ClassLabel", "names": 5}}
    assert chosen(schema(said, y=pa.int64(), photo=STRUCT), Asked(), what="x").names == ()
    twice = pa.schema([("image", pa.binary()), ("label", pa.int8()), ("label", pa.int8())])
    with pytest.raises(ConfigError, match="x has the column 'label' more than once"):
        chosen(twice, Asked(), what="x")


def test_unsigned_labels_may_be_missing_but_not_be_beyond_all_numbers(tmp_path):
    column = pa.chunked_array([pa.array([0, None, 1], pa.uint8())])
    assert labels(column, ("a", "b"), tmp_path, None, what="x").codes.tolist() == [0, -1, 1]
    large = pa.chunked_array([pa.array([2**64 - 1], pa.uint64())])
    with pytest.raises(ConfigError, match="the labels of x are too large"):
        labels(large, ("a", "b"), tmp_path, None, what="x")
