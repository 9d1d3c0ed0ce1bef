"""A split looked at: the same by one thread and by four, all of it or a spread sample."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.data.sources.subset import places
from m3i_jax.data.survey.split import looked_at
from tests.data.survey.look_test import Pixels
from tests.faulty_folder import BROKEN, READABLE, made


@pytest.mark.parametrize("threads", [1, 4])
def test_columns_are_of_what_can_be_read_in_order(tmp_path, threads):
    source = data.source({"name": "image_folder", "root": str(made(tmp_path))}, split="train")
    ticks = []
    one = looked_at(source, "train", threads=threads, tick=ticks.append)
    assert ticks == list(range(READABLE + BROKEN)) and one.count == len(source)
    assert one.indices.tolist() == [0, 1, 2, 3, 4, 5, 8, 9] and [*one.broken] == [6, 7, 10, 11]
    assert one.labels.tolist() == [0, 1, 1, 1, 1, 1, 2, 2]
    assert one.widths.tolist() == [400, 40, 300, 40, 40, 40, 40, 40]
    assert one.formats == {"PNG": 2, "JPEG": 5, "WEBP": 1}
    assert one.modes == {"RGB": 6, "L": 1, "CMYK": 1}
    assert one.captions[1] == ("an ant walks", "an ant") and len(one.digests) == READABLE


def test_a_sample_is_spread_as_others_are():
    source = Pixels(*(np.full((1, 1, 3), i, np.uint8) for i in range(200)))
    assert looked_at(source, "train", limit=20).indices.tolist() == places(200, 20).tolist()
    assert looked_at(source, "train", limit=500).count == 200
