"""Choosing a source by a config block."""

import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data import sources
from m3i_jax.data.sources import digit_scenes, idx


def test_a_block_is_a_call():
    pytest.importorskip("skimage")
    block = ConfigDict(dict(name="digit_scenes", size=32, length=7, digit=(0.5, 0.6)))
    scenes = data.source(block, split="test")
    assert len(scenes) == 7 and scenes[6].image.shape == (32, 32, 3)
    assert scenes.recipe.split == "test" and isinstance(scenes, data.Source)


def test_folders_too(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "x.png")
    assert len(data.source({"name": "image_folder", "root": str(tmp_path)}, split="train")) == 1


@pytest.mark.parametrize(
    "block,said",
    [
        (dict(name="digit_scene"), "did you mean 'digit_scenes'"),
        (dict(name="digit_scenes", lenght=3), "did you mean 'length'"),
        (dict(name="digit_scenes", size="48"), "expected a whole number"),
        (dict(name="digit_scenes", split="test"), "no key 'split'"),
        (dict(name="image_folder"), "lacks 'root'"),
        (dict(), "lacks 'name'"),
    ],
)
def test_mistakes_are_named(block, said):
    with pytest.raises(ConfigError, match=said):
        data.source(block, split="train")


def test_sources_load_nothing_heavy():
    code = "import sys, m3i_jax.data; print([m for m in sys.modules if m in %r])"
    heavy = ("grain", "sklearn", "skimage", "tokenizers", "torch", "tensorflow")
    found = subprocess.run(
        [sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", data.SOURCES)
def test_what_an_evaluation_keeps_of_images_is_known_unopened(name):
    classes = {"digit_scenes": digit_scenes.DigitScenes, "mnist": idx.Idx, "fashion_mnist": idx.Idx}
    own = getattr(classes.get(name), "evaluation_ratio", None)
    assert sources.evaluation_ratio({"name": name}) == own
    assert sources.evaluation_ratio({"name": "held_out", "of": {"name": name}}) == own
