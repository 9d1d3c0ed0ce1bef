"""What a classifier is asked: records whose category is known, among those of training."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from m3i_jax import methods
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.validation import check
from m3i_jax.training import reading


def folders(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / name)
    return {"name": "image_folder", "root": str(root)}


TWO = ("train/cat/1.png", "train/dog/1.png")


@pytest.mark.parametrize(
    "changes, names, said",
    [
        ({}, ("train/1.png", "val/1.png"), "needs classes, but the train split has no classes"),
        ({}, ("train/cat/1.png", "val/cat/1.png"), "training has one only, 'cat'"),
        ({}, TWO, "wants a test split, but .* set config.validation={}"),
        ({}, (*TWO, "val/1.png"), "no image of the test split has a label"),
        ({}, (*TWO, "val/cat/1.png", "val/cow/1.png"), "training has no class 'cow'"),
        ({"metric": "top5"}, (*TWO, "val/cat/1.png"), "metric is top5, but there are 2 classes"),
        ({"branch": "ema"}, (*TWO, "val/cat/1.png"), "set config.average.head=True"),
    ],
)
def test_what_cannot_be_counted_is_a_sentence(shrunk, tmp_path, changes, names, said):
    config = shrunk("classification", **{"validation.every": "3 steps"})
    plain = config.to_dict()
    plain |= {"data": folders(tmp_path, *names), "validation": plain["validation"] | changes}
    other = type(config).of(plain)
    network = SimpleNamespace(untracked=frozenset())
    built = SimpleNamespace(config=other, method=methods.classification(), network=network)
    source = reading.read(other, tmp_path, split="train")
    with pytest.raises(ConfigError, match=said):
        check(built, SimpleNamespace(source=source), tmp_path)
