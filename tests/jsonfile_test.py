"""JSON of others is read within bounds, and what is refused is a ValueError that says why."""

import json
import os
import socket

import numpy as np
import pytest

from m3i_jax import jsonfile

GOOD = {"a": [1, 2.5, -3e300, True, None, "NaN"], "b": {"c": {"d": []}}, "é": "ü"}


def test_what_json_writes_is_read(tmp_path):
    assert jsonfile.parse(json.dumps(GOOD)) == GOOD
    (tmp_path / "x.json").write_text(json.dumps(GOOD), encoding="utf-8")
    assert jsonfile.read(tmp_path / "x.json") == GOOD
    assert jsonfile.parse(b"3") == 3 and jsonfile.parse('"word"') == "word"


@pytest.mark.parametrize(
    "text, reason",
    [
        ('{"a": NaN}', "the number NaN"),
        ("[-Infinity]", "the number -Infinity"),
        ("[1e999]", "the number 1e999, which no float is"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        ("[1,", "Expecting value"),
        ("", "Expecting value"),
        (b"\xff\xfe\xfa", "decode"),
        ("[" * 65 + "]" * 65, "more than 64 deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "more than 64 deep"),
        ("[" * 1_000_000, "more than 64 deep"),
        ('{"a":' * 1_000_000, "more than 64 deep"),
        ("1" * 100_000, "no 64 bits hold"),
    ],
    ids=np.arange(12).astype(str),
)
def test_what_nobody_can_use_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        jsonfile.parse(text)


def test_as_deep_as_it_may_be():
    for text in ("[" * 64 + "]" * 64, "[" * 64 + "1" + "]" * 64):
        assert jsonfile.parse(text) == json.loads(text)


def test_files_have_an_end(tmp_path):
    (tmp_path / "x.json").write_text("[" + "1," * 100 + "1]")
    with pytest.raises(ValueError, match="more than 100 bytes"):
        jsonfile.read(tmp_path / "x.json", size=100)
    os.mkfifo(tmp_path / "pipe")
    for endless in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(ValueError, match="no ordinary file"):
            jsonfile.read(endless)
    with pytest.raises(FileNotFoundError):
        jsonfile.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    "text, what",
    [
        ("[9223372036854775808]", "which no 64 bits hold"),
        ("1" + "0" * 400, "which no 64 bits hold"),
        (r'{"\ud800": 1}', "surrogates not allowed"),
    ],
)
def test_numbers_and_letters_that_nothing_holds_are_refused(text, what):
    with pytest.raises(ValueError, match=what):
        jsonfile.parse(text)


def test_the_largest_numbers_and_whole_letters_are_read():
    assert jsonfile.parse(r'[9223372036854775807, -9223372036854775808, "\ud83d\ude00"]') == [
        2**63 - 1,
        -(2**63),
        "😀",
    ]


def odd(kind, path):
    """Something at `path` that is no ordinary file."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
def test_only_ordinary_files_are_opened(kind, tmp_path):
    path = odd(kind, tmp_path / "x.json")
    for read in (jsonfile.read, jsonfile.content):
        with pytest.raises(ValueError, match="it is no ordinary file"):
            read(path)
    with pytest.raises(FileNotFoundError):
        jsonfile.content(tmp_path / "none")
