import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import json_lines
from tests.jsonfile_test import odd


def test_what_is_appended_is_read_in_order(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    assert json_lines.content(path) == b"" and json_lines.records(path, json.loads, what="x") == []
    json_lines.append(path, ['{"a": 1}', '{"a": "Ä"}'])
    json_lines.append(path, ["[2]"])
    assert json_lines.records(path, json.loads, what="x") == [{"a": 1}, {"a": "Ä"}, [2]]


def test_what_is_no_record_is_left_out_said_and_stays_in_the_file(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'1\n{"cut\xff')
    json_lines.append(path, ["3"])
    assert json_lines.records(path, json.loads, what="number") == [1, 3]
    assert f"{path}: line 2 is no number and left out" in caplog.text
    assert path.read_bytes() == b'1\n{"cut\xff\n3\n'


def test_a_line_ends_where_json_lines_do(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('["a\u2028b\x85c"]\r\n2\n')
    assert json_lines.records(path, json.loads, what="x") == [["a\u2028b\x85c"], 2]


def test_writers_at_once_lose_no_line(tmp_path):
    # Every call opens the lock anew, so threads exclude each other as processes do.
    path = tmp_path / "a.jsonl"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: json_lines.append(path, [str(n)]), range(30)))
    assert sorted(json_lines.records(path, int, what="number")) == list(range(30))


def test_a_crash_keeps_the_old_lines(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    json_lines.append(path, ["1"])

    def crash(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError):
        json_lines.append(path, ["2"])
    assert path.read_text() == "1\n"


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket", "device"])
def test_nobody_waits_for_what_is_no_file(kind, tmp_path):
    path = tmp_path / "a.jsonl"
    odd(kind, path)
    for act in (json_lines.content, lambda p: json_lines.append(p, ["1"])):
        with pytest.raises(ConfigError, match="a.jsonl' cannot be read: it is no ordinary file"):
            act(path)
