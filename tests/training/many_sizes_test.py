"""A detector on a folder of images of many sizes: one program trains, and one finds."""

import collections
import logging
import re

import jax
import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.evaluation import results
from m3i_jax.evaluation.validation import check, validation
from m3i_jax.training import log
from m3i_jax.training.session import train
from tests.data.sources.dense_files import image, written
from tests.methods.detection_test import CASES

SIZES = {1: (10, 20), 2: (33, 17), 3: (16, 16), 4: (64, 9), 5: (21, 40), 6: (8, 8)}


@pytest.fixture
def folder(tmp_path):
    """Six images: one without objects, one with 500, one whose boxes are none."""
    rng, things = np.random.default_rng(0), []

    def thing(number, x, y, width, height):
        head = dict(id=len(things) + 1, image_id=number, category_id=3 + len(things) % 2)
        things.append(head | dict(bbox=[x, y, width, height], area=width * height, iscrowd=0))

    for number in (1, 2, 4, 5):
        height, width = SIZES[number]
        for _ in range(500 if number == 5 else 2):
            low = rng.uniform(0, 0.5, 2) * (width, height)
            thing(number, *low, *(rng.uniform(0.2, 0.5, 2) * (width, height)))
    for box in ((2, 2, 0, 5), (2, 2, 5, 0), (3, 3, -2, -2), (90, 2, 4, 4), (-9, -9, 4, 4)):
        thing(6, *map(float, box))
    images = [
        dict(id=n, file_name=f"{n}.png", height=size[0], width=size[1]) for n, size in SIZES.items()
    ]
    names = [dict(id=3, name="cat"), dict(id=4, name="dog")]
    said = dict(images=images, annotations=things, categories=names)
    for split in ("train", "val"):
        written(tmp_path / f"annotations/instances_{split}2017.json", said)
        for number, size in SIZES.items():
            image(tmp_path / f"{split}2017" / f"{number}.png", number, size)
    return tmp_path


def test_what_is_none_is_no_object_and_of_many_the_largest_are_learned(folder):
    source = data.source({"name": "objects", "root": str(folder), "empty": True}, split="train")
    counts = [len(source[n].objects.corners) for n in range(6)]
    assert counts == [2, 2, 0, 2, 500, 0]


@pytest.mark.slow
def test_each_program_compiles_once_for_images_of_all_sizes(folder, shrunk, tmp_path, caplog):
    objective, decoders = CASES["mask_rcnn of boxes"]
    config = shrunk(
        "detection",
        objective=objective | dict(classes=2),
        decoders=decoders,
        augment={},
        data=dict(name="objects", root=str(folder), empty=True),
        duration="4 steps",
        validation=dict(every="2 steps", batch=8),
        **{"crops.objects": 3, "crops.base": (16, 16)},
    )
    workdir = tmp_path / "run"
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        assert train(config, workdir, watch=validation, before=check) == 0
    said = re.findall(r"Compiling jit\((\w+)\)", caplog.text)
    names = collections.Counter(said)
    assert names["advance"] == names["program"] == 1, names
    lines = log.read(workdir / "metrics.jsonl")
    assert all(np.isfinite(x["train/loss"]) for x in lines if "train/loss" in x)
    assert not any(x.get("optim/skipped") for x in lines)
    last = results.read(workdir)[-1]
    assert last.counts["test"] == 6 and 0 <= last.metrics["eval/detection/ap"] <= 1
    assert len([x for x in lines if "validation/online/ap" in x]) == 2
