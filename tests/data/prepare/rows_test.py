"""Rows: what a record becomes, or why it is left out."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.data.prepare.rows import row
from tests.data.survey.look_test import Pixels
from tests.faulty_folder import made


def test_a_record_keeps_what_is_said_of_it_and_a_broken_one_its_reason(tmp_path):
    source = data.source({"name": "image_folder", "root": str(made(tmp_path))}, split="train")
    rows = [row(source, i, size=100, quality=90, root=str(tmp_path)) for i in range(len(source))]
    one = rows[1]
    assert one.name == "train/ant/0.jpg" and one.copied and one.record.label == 1
    assert one.record.captions == ("an ant walks", "an ant")
    assert one.record.image == (tmp_path / one.name).read_bytes()
    assert [r.index for r in rows if r.record is None] == [6, 7, 10, 11]
    assert rows[6].broken.startswith("cannot read") and not rows[2].copied


def test_a_lack_of_memory_is_no_broken_record():
    source = Pixels(MemoryError(), np.zeros((2, 2, 3), np.uint8))
    assert row(source, 1, size=0, quality=95).name == "record 1"
    with pytest.raises(MemoryError):
        row(source, 0, size=0, quality=95)
