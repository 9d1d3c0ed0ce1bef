"""What is found out of a data set and of a machine."""

import numpy as np
from PIL import Image

from m3i_jax import data
from m3i_jax.training.automatic import facts


def test_facts_of_a_folder_are_read_from_headers(tmp_path):
    for name, mode, size in (
        ("cat/1", "L", (60, 40)),
        ("cat/2", "L", (20, 30)),
        ("dog/3", "L", (50, 90)),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros(size[::-1], np.uint8)).convert(mode).save(tmp_path / f"{name}.png")
    (tmp_path / "dog/4.jpg").write_bytes(b"no picture")
    (tmp_path / "cat/1.txt").write_text("a cat\n")
    source = data.source({"name": "image_folder", "root": str(tmp_path)}, split="train")
    found = facts.of_source(source, test=False)
    assert found == facts.Images(4, 40, True, 2, 4, True, False) and found.labels


def test_facts_of_pixels_and_of_a_machine():
    source = data.source({"name": "digit_scenes", "length": 20}, split="train")
    found = facts.of_source(source, test=True)
    assert (found.count, found.grey, found.classes, found.captioned) == (20, False, 10, True)
    machine = facts.of_machine()
    assert machine.devices == 8 and not machine.accelerated and machine.memory > 2**28
