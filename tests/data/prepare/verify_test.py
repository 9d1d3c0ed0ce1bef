"""A copy that was changed is found, whatever of it was."""

import pytest

from m3i_jax.data.prepare import copy
from m3i_jax.data.prepare.verify import Differs, verify
from m3i_jax.data.prepare.work import ARRAY_RECORD, FOLDER, TAR
from tests.data.prepare.copy_test import root, work  # noqa: F401, a fixture
from tests.faulty_folder import READABLE

pytest.importorskip("array_record")


@pytest.mark.parametrize(
    "format, file, said",
    [
        (ARRAY_RECORD, "train-00001-of-00004.array_record", "has another digest"),
        (ARRAY_RECORD, "train.labels.npy", "has another digest"),
        (ARRAY_RECORD, "train.captions.jsonl", "captions.jsonl of the train split has"),
        (TAR, "train-00001-of-00004.tar", "has another digest"),
        (FOLDER, "train/ant/000000003.png", "'train/ant/000000003.png' is not what"),
        (FOLDER, "train/ant/000000001.txt", "000000001.txt' is not what 'train/ant/0.jpg' gives"),
    ],
)
def test_a_changed_byte_and_a_missing_file_are_found(root, tmp_path, format, file, said):  # noqa: F811
    asked = work(root, tmp_path, format=format)
    copy.write(asked, threads=2, unreadable=0.5)
    ticks = []
    assert verify(asked, threads=2, tick=ticks.append) == READABLE + 2
    assert ticks == list(range(14))
    place = tmp_path / file
    content = bytearray(place.read_bytes())
    content[-20] ^= 1
    place.write_bytes(content)
    with pytest.raises(Differs, match=said):
        verify(asked, threads=1)
    place.unlink()
    with pytest.raises(Differs, match=said):
        verify(asked, threads=1)
