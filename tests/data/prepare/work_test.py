"""How many parts there are, and what decides the bytes of a copy."""

import pathlib

import numpy as np

from m3i_jax.data.prepare.work import FOLDER, STRETCH, Settings, Work
from tests.data.survey.look_test import Pixels


class Said(Pixels):
    def fingerprint(self):
        return f"of {len(self)}"


def work(**settings):
    image = np.zeros((2, 2, 3), np.uint8)
    sources = {"train": Said(*[image] * 40), "test": Said(*[image] * 9)}
    return Work(sources, pathlib.Path("copy"), Settings(**settings))


def test_shards_of_all_splits_have_about_as_many_records():
    names = [part.name for part in work(shards=8).parts()]
    assert len(names) == 8 + 2 and names[-1] == "test-00001-of-00002"
    assert [part.name for part in work().parts()] == [f"{s}-00000-of-00001" for s in work().sources]
    assert len(work(shards=8, format=FOLDER).parts()) == 2 and STRETCH > 40


def test_what_decides_the_bytes_is_said():
    made = work(size=32, seed=4).made()
    assert made["size"] == 32 and made["seed"] == 4 and made["pillow"]
    assert made["sources"]["test"]["records"] == 9
    assert made["sources"]["train"]["fingerprint"] == "of 40"
    assert made != work(size=33, seed=4).made()
