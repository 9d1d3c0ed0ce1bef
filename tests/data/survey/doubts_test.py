"""What should be thought about is said, and a sound data set is not spoken of."""

import pytest

from m3i_jax.data.survey.doubts import doubts
from m3i_jax.data.survey.duplicates import Duplicates
from m3i_jax.data.survey.figures import Fault
from tests.data.survey.figures_test import found  # noqa: F401, a fixture

NONE = Duplicates(0, ())
FAULT = Fault(0, "a", "b")


@pytest.fixture
def sound(found):  # noqa: F811
    """A data set with nothing wrong."""
    counts = dict(classes={"ant": 5, "bee": 7}, labelled=12, smaller=0, duplicates=NONE)
    train = found.splits[0]._replace(broken=(), captions=None, **counts)
    return found._replace(splits=(train, train._replace(split="test")), shared=NONE)


def test_a_sound_data_set_is_not_spoken_of(sound):
    assert doubts(sound) == []


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(broken=(FAULT, FAULT)), "2 of 12 records cannot be read"),
        (dict(classes={"ant": 5, "bee": 0}), "no image of 'bee'"),
        (dict(classes={"ant": 5, "bee": 1}), "a single image of 'bee'"),
        (dict(classes={"ant": 203, "bee": 2}), "uneven, 203 images of 'ant' and 2 of 'bee'"),
        (dict(labelled=10), "2 of 12 images are without a label, and others have one"),
        (dict(smaller=4), "4 of 8 images are smaller than the crop of 32"),
        (dict(several=3), "more than one frame or page in 3 of 8 files; the first is used"),
        (dict(duplicates=Duplicates(1, (("x", "y"),))), "as 'x' has those of 'y'"),
    ],
)
def test_each_doubt_is_a_sentence(sound, change, said):
    train, test = sound.splits
    (sentence,) = doubts(sound._replace(splits=(train._replace(**change), test)))
    assert said in sentence and sentence.startswith("train: ")


def test_one_broken_record_is_forgiven_and_captions_are_looked_at(sound, found):  # noqa: F811
    train, test = sound.splits
    assert doubts(sound._replace(splits=(train._replace(broken=(FAULT,)), test))) == []
    cut = sound._replace(splits=(train._replace(captions=found.splits[0].captions), test))
    assert "1 of 3 captions are longer than config.captions.length=32" in doubts(cut)[0]
    unknown = sound._replace(splits=(train, test._replace(captions=found.splits[1].captions)))
    assert "1 of 3 tokens are unknown to the tokenizer, as 'unseen'" in doubts(unknown)[0]
    assert "no test split" in doubts(sound._replace(splits=(train,), shared=None))[0]
    shared = sound._replace(shared=Duplicates(2, (("x", "y"),)))
    assert "2 of the test images have the pixels of training images" in doubts(shared)[0]
