"""The source of encoded images: which split it takes, what it says, what it forgives."""

import numpy as np
import pytest

from m3i_jax.data.sources import packed, shards
from m3i_jax.data.sources.decoding import decode_image
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.unreadable import robust
from tests.drawn_records import drawn, same


class Held:
    """Records in memory; the label is in the name of the file."""

    notes, warnings = ("a note",), ()

    def __init__(self, files, records):
        self.files, self._records = files, records
        labelled = "test" not in files[0].name
        self.names = ("cat", "dog", "emu") if labelled else ()
        self.codes = np.array([r.label if labelled else -1 for r in records])

    def __len__(self):
        return len(self._records)

    def read(self, index):
        return packed.Encoded(self._records[index].png, self._records[index].caption)

    def captions(self):
        return (record.caption for record in self._records)

    def where(self, index):
        return f"{self.files[0].name}: {index}"

    def digest(self):
        return str(len(self))


def source(root, split, records, classes=None):
    read = lambda files: Held(files, records)  # noqa: E731
    how = dict(split=split, classes=classes, read=read, decode=decode_image)
    files = lambda kind: shards.candidates(str(root), kind, (".bin",))  # noqa: E731
    return packed.packed("held", files, **how)


@pytest.fixture
def root(tmp_path):
    for name in ("train-0", "test-0", "val-0"):
        (tmp_path / f"{name}.bin").write_bytes(name.encode())
    return tmp_path


def test_a_split_is_what_its_records_are(root):
    records = drawn(5)
    train = source(root, "train", records)
    assert isinstance(train, Source) and train.on_disk
    same(train, records)
    assert [train.encoded(i) for i in range(5)] == [record.png for record in records]
    assert train.account.labelled == 5 and train.account.notes[1] == "a note"
    assert "5 records in 1 file of" in train.account.notes[0]


def test_of_test_and_val_the_labelled_one_is_taken_and_labelled_by_name(root):
    records = drawn(5)
    assert source(root, "test", records).where(0) == "val-0.bin: 0"
    test = source(root, "test", records, classes=("emu", "cat"))
    assert [test[n].label for n in range(5)] == [1, -1, 0, 1, -1]
    assert test.account.unknown == {"dog": 2} and test.classes == ("emu", "cat")


def test_a_broken_record_is_named_and_forgiven(root):
    records = drawn(4)
    records[1] = records[1]._replace(png=records[1].png[:30])
    train = source(root, "train", records)
    with pytest.raises(ValueError, match="cannot read 'train-0.bin: 1'"):
        train[1]
    forgiving = robust(train)
    assert forgiving[1].caption == "picture 2" and forgiving.read(1) is None
    assert "train-0.bin: 1" in forgiving.unreadable[1]


def test_the_fingerprint_follows_files_and_records(root):
    one = source(root, "train", drawn(4))
    assert one.fingerprint() != source(root, "train", drawn(5)).fingerprint()
    before = one.contents()
    (root / "train-0.bin").write_bytes(b"train-1")
    assert one.contents()["contents"] != before["contents"]
