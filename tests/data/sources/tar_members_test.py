"""Members of tar files: as Python's tarfile finds them, and what is wrong with a file."""

import io
import tarfile

import numpy as np
import pytest

from m3i_jax.data.sources import tar_members
from m3i_jax.data.sources.tar_members import BROKEN, CUT, ENDLESS
from tests.drawn_records import tar

FORMS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
LONG = "folder/" * 12 + "ü" * 40 + "." * 60 + ".jpg"
FILES = [("a.jpg", b"1"), ("empty.txt", b""), ("b/c.jpg", bytes(range(256)) * 5), ("ü/ä.txt", b"x")]


def members(data):
    return list(tar_members.members(lambda at, size: data[at : at + size], len(data)))


@pytest.mark.parametrize("form", FORMS, ids=("ustar", "gnu", "pax"))
def test_names_and_places_are_those_that_tarfile_finds(tmp_path, form):
    files = FILES if form == tarfile.USTAR_FORMAT else [*FILES, (LONG, b"long"), ("z.jpg", b"last")]
    data = tar(tmp_path / "x.tar", files, form=form).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(data)) as file:
        there = [(i.name, i.offset, i.offset_data, i.size) for i in file.getmembers()]
    found = members(data)
    assert [tuple(m[:4]) for m in found] == there and not any(m.kind for m in found)
    assert [data[m.data : m.data + m.size] for m in found] == [content for _, content in files]
    for member in found:
        read = lambda at, size: data[at : at + size]  # noqa: E731
        assert tar_members.at(read, member.head, len(data)) == member


def test_a_size_beyond_octal_and_a_size_of_pax_are_read(tmp_path):
    info = tarfile.TarInfo("large.bin")
    info.size = 9 * 2**30
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        (member,) = members(info.tobuf(form))
        assert (member.name, member.size, member.kind) == ("large.bin", 9 * 2**30, CUT)


def special(kind, name="s", link="/etc/passwd"):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_what_is_no_file_is_said(tmp_path):
    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)
    files = [("", special(kind)) for kind in kinds] + [("/etc/x", b"1"), ("../up", b"2")]
    data = tar(tmp_path / "x.tar", files).read_bytes()
    assert [m.kind for m in members(data)] == ["link", "link", "device", "pipe", "", ""]
    sparse = special(tarfile.GNUTYPE_SPARSE, "holes").tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    assert [m.kind for m in members(sparse)] == ["sparse file"]


def test_behind_a_broken_header_the_next_one_is_found(tmp_path):
    data = bytearray(tar(tmp_path / "x.tar", FILES).read_bytes())
    third = members(bytes(data))[2].head
    data[third + 5] ^= 1
    found = members(bytes(data))
    assert [m.kind for m in found] == ["", "", BROKEN, ""] and found[2].head == third


def test_archives_behind_each_other_and_cut_ones(tmp_path):
    data = tar(tmp_path / "x.tar", FILES).read_bytes()
    assert [m.name for m in members(data + data)] == [name for name, _ in FILES] * 2
    third = members(data)[2]
    assert [m.kind for m in members(data[: third.data + 700])] == ["", "", CUT]
    assert [m.kind for m in members(data[: third.head])] == ["", "", ENDLESS]
    assert [m.kind for m in members(data[: third.head + 100])][:2] == ["", ""]


def test_what_is_a_tar_is_seen_by_its_first_block(tmp_path):
    data = tar(tmp_path / "x.tar", FILES).read_bytes()
    for content, expected in (
        (data, True),
        (bytes(10240), True),
        (b"", False),
        (b"PK" * 900, False),
    ):
        assert tar_members.is_one(lambda at, size, c=content: c[at : at + size]) is expected


def test_any_bytes_come_to_an_end(tmp_path):
    rng = np.random.default_rng(0)
    data = tar(tmp_path / "x.tar", [*FILES, (LONG, b"1")], form=tarfile.PAX_FORMAT).read_bytes()
    for n in range(400):
        copy = bytearray(data if n % 2 else data[: rng.integers(len(data))])
        for position in rng.integers(0, max(len(copy), 1), 8 * (len(copy) > 0)):
            copy[position] = rng.integers(256)
        found = members(bytes(copy))
        assert len(found) <= len(copy) // 512 + 1
        assert all(0 <= m.head <= m.data <= len(copy) for m in found if m.kind != CUT)


def test_the_next_header_is_not_looked_for_without_end(monkeypatch):
    asked = []
    read = lambda at, size: asked.append(at) or bytes(size)  # noqa: E731
    monkeypatch.setattr(tar_members, "SEARCHED", 4 * tar_members.STRIDE)
    assert list(tar_members.members(read, 2**43)) == [] and len(asked) < 10
