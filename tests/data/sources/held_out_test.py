"""A part of training takes the place of the test split, which is never read."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import NoSplit

OF = {"name": "digit_scenes", "length": 40}


def part(split, **how):
    return data.source({"name": "held_out", "of": OF, **how}, split=split)


def test_both_parts_are_all_of_training_each_record_once():
    whole = data.source(OF, split="train")
    train, held = part("train", share=0.2), part("test", share=0.2)
    assert (len(train), len(held)) == (32, 8)
    images = [source[i].image.tobytes() for source in (train, held) for i in range(len(source))]
    assert sorted(images) == sorted(whole[i].image.tobytes() for i in range(40))
    test = data.source(OF, split="test")
    assert not {*images} & {test[i].image.tobytes() for i in range(len(test))}
    assert train.classes == held.classes == whole.classes
    assert train.fingerprint() != held.fingerprint() != whole.fingerprint()


def test_the_part_is_always_the_same():
    one, other = part("test", share=0.2), part("test", share=0.2)
    for i in range(8):
        np.testing.assert_array_equal(one[i].image, other[i].image)


def test_what_cannot_be_parted_is_a_sentence():
    with pytest.raises(ConfigError, match="leaves none to train or to choose on"):
        part("train", share=0.001)
    with pytest.raises(NoSplit, match="held_out has the splits train and test, not 'val'"):
        part("val")
    with pytest.raises(ConfigError, match="the block of another source"):
        data.source({"name": "held_out", "of": {}}, split="train")
    with pytest.raises(ConfigError, match="did you mean 'digit_scenes'"):
        data.source({"name": "held_out", "of": {"name": "digit_scene"}}, split="train")
