"""Shards: all of a part or nothing."""

import pytest

from m3i_jax.data.prepare import shard_files
from m3i_jax.data.prepare.parts import parts
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.sources import record
from m3i_jax.data.sources.record import Record

pytest.importorskip("array_record")
(PART,) = parts("train", range(3), count=1, seed=None)
ROWS = [Row(0, "a", Record(b"first", 2)), Row(1, "b", broken="x"), Row(2, "c", Record(b"last"))]


def test_a_part_is_its_readable_records(tmp_path):
    stored = shard_files.write(tmp_path, PART, ROWS)
    assert stored.file == "train-00000-of-00001.array_record" and stored.records == 2
    read = [record.decode(data).image for data in shard_files.read(tmp_path, PART)]
    assert read == [b"first", b"last"]
    before = (tmp_path / stored.file).read_bytes()
    shard_files.write(tmp_path, PART, iter(ROWS))
    assert (tmp_path / stored.file).read_bytes() == before
    assert shard_files.write(tmp_path, PART, ROWS[1:2]).records == 0


def test_what_fails_leaves_nothing(tmp_path):
    def rows():
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shard_files.write(tmp_path, PART, rows())
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="No such file"):
        shard_files.write(tmp_path / "missing", PART, ROWS)
