"""The samples of one tar file."""

import gzip
import json
import tarfile

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import tar_samples
from m3i_jax.data.sources.tar_samples import LINES, TABLE
from tests.drawn_records import drawn, samples, tar


def read(tmp_path, members, **how):
    return tar_samples.read(tar(tmp_path / "x.tar", members, **how))


def test_members_of_a_key_are_a_sample_wherever_they_lie(tmp_path):
    records = drawn(4)
    for members in (list(samples(records)), sorted(samples(records), key=lambda m: m[0][-3:])):
        found = read(tmp_path, members)
        data = (tmp_path / "x.tar").read_bytes()
        at = lambda start, size, data=data: data[start : start + size]  # noqa: E731
        assert not found.left_out and found.names == ("cat", "dog", "emu")
        for record, row in zip(records, found.records, strict=True):
            assert at(row["image"], row["size"]) == record.png
            assert at(row["text"], row["length"]) == record.caption.encode()
            assert found.names[row["label"]] == record.name and row["kind"] == LINES


def test_json_says_what_the_first_of_a_file_has(tmp_path):
    (record,) = drawn(1)
    for table, names, kind in (
        ({"caption": "a"}, (), TABLE),
        ({"label": 7}, ("7",), 0),
        ({"label": -1}, (), 0),
        ({"class": "x", "label": "y"}, ("y",), 0),
        ({"species": "x", "text": "a"}, ("x",), TABLE),
        ({"width": 3}, (), 0),
    ):
        found = read(tmp_path, [("1.png", record.png), ("1.json", json.dumps(table).encode())])
        assert (found.names, found.records["kind"][0]) == (names, kind)
    both = {"label": 1, "caption": "a"}
    members = [("1.png", record.png), ("1.txt", b"b"), ("1.json", json.dumps(both).encode())]
    found = read(tmp_path, members)
    assert found.names == ("1",) and found.records["kind"][0] == LINES


def test_what_is_left_out_is_counted(tmp_path):
    (record,) = drawn(1)
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members = [
        ("a.png", record.png), ("a.jpg", record.png), ("link.png", link), ("a.mp3", b"1"),
        ("b.txt", b"nobody's"), ("__MACOSX/._a.png", record.png), ("a.cls", b"\xff"),
        ("../../up.png", record.png), ("/etc/root.png", record.png), ("c.png", record.png),
        ("c.cls", b"-1"),
    ]  # fmt: skip
    found = read(tmp_path, members)
    assert len(found.records) == 4 and found.names == () and (found.records["label"] == -1).all()
    assert {kind: times for kind, (times, _) in found.left_out.items()} == {
        "a second image of one key": 1, "link": 1, "'.mp3'": 1, "without an image of its key": 1,
        "hidden or a system's own": 1, "no class": 1,
    }  # fmt: skip
    assert found.left_out["link"][1] == "x.tar: link.png"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.tar"]


def test_kinds_that_are_counted_are_bounded(tmp_path):
    found = read(tmp_path, [(f"{n}.x{n}", b"") for n in range(300)])
    assert len(found.left_out) <= tar_samples.MOST + 1
    assert sum(times for times, _ in found.left_out.values()) == 300


def test_what_is_no_tar_is_a_sentence(tmp_path):
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(b"1"))
    with pytest.raises(ConfigError, match="x.tar.gz' is compressed.*gunzip it first"):
        tar_samples.read(path)
    for data, said in ((b"", "is no tar file; it is empty"), (b"<html>" * 200, "is no tar file")):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=said):
            tar_samples.read(path)
    with pytest.raises(ConfigError, match="cannot read '.*none.tar'"):
        tar_samples.read(tmp_path / "none.tar")
