"""What a digest sees of large files."""

import os

from m3i_jax.data.sources import contents


def test_any_byte_of_small_files_counts(tmp_path):
    files = [tmp_path / name for name in "ab"]
    files[0].write_bytes(bytes(contents.BLOCK + 5))
    files[1].write_bytes(b"0123")
    before = contents.looked_at(files)
    for place in (0, contents.BLOCK + 4):
        data = bytearray(contents.BLOCK + 5)
        data[place] = 1
        files[0].write_bytes(data)
        assert contents.looked_at(files)["contents"] != before["contents"]
    files[0].write_bytes(bytes(contents.BLOCK + 5))
    os.utime(files[0], ns=(0, 0))
    after = contents.looked_at(files)
    assert after["contents"] == before["contents"] and after["times"] != before["times"]


def test_of_large_ones_blocks_are_read_evenly_spread(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "SEEN_BYTES", 10)
    monkeypatch.setattr(contents, "SEEN_BLOCKS", 3)
    monkeypatch.setattr(contents, "BLOCK", 4)
    files = [tmp_path / name for name in "ab"]
    files[0].write_bytes(b"aaaa" + b"-" * 12)
    files[1].write_bytes(b"-" * 12 + b"bbbb")
    before = contents.looked_at(files)["contents"]
    files[0].write_bytes(b"aaaa-----" + b"x" * 3 + b"----")
    assert contents.looked_at(files)["contents"] == before  # between two blocks
    files[1].write_bytes(b"-" * 12 + b"bbbc")
    assert contents.looked_at(files)["contents"] != before


def test_names_and_sizes_count(tmp_path):
    for name, data in (("a", b"1"), ("b", b"1"), ("c", b"22")):
        (tmp_path / name).write_bytes(data)
    digests = {contents.named([tmp_path / name], "x") for name in "abc"}
    assert len(digests | {contents.named([tmp_path / "a"], "y")}) == 4


def test_bytes_from_an_offset_are_as_many_as_there_are(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    assert (
        contents.at(tmp_path / "a", 3, 4) == b"3456" and contents.at(tmp_path / "a", 8, 9) == b"89"
    )
    assert contents.at(tmp_path / "a", 20, 5) == b""
    assert contents.at(tmp_path / "a", 2**70, 5) == contents.at(tmp_path / "a", -1, 5) == b""
