"""Labels as numbers of other classes, by name."""

import copy

import numpy as np

from m3i_jax import data
from m3i_jax.data.sources.protocol import account
from m3i_jax.data.sources.relabelled import MASKED, relabelled

DIGITS = data.source({"name": "digit_scenes", "length": 20}, split="train")


def test_labels_and_masks_are_numbers_of_the_other_classes():
    assert relabelled(DIGITS, None) is relabelled(DIGITS, DIGITS.classes) is DIGITS
    other = relabelled(DIGITS, ("owl", *reversed(DIGITS.classes[1:])))
    assert [other[i].label for i in range(10)] == [-1, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert other.read(3).label == other[3].label and other.classes[0] == "owl"
    for i in (0, 3):
        mask = DIGITS[i].mask
        assert np.array_equal(other[i].mask, np.where(mask > 0, other[i].label + 1, 0)), i
    many = relabelled(DIGITS, [f"c{i}" for i in range(MASKED + 1)])
    assert many[3].label == -1 and many[3].mask is None
    assert len({s.fingerprint() for s in (DIGITS, other, many)}) == 3
    assert list(other.captions()) == list(DIGITS.captions()) and copy.copy(other).classes


def test_records_of_classes_that_are_not_there_are_in_the_account(tmp_path):
    np.savez(tmp_path / "all.npz", train_images=np.zeros((5, 2, 2, 3), np.uint8),
             train_labels=np.array([1, 0, -1, 1, 1]), classes=np.array(["cat", "dog"]))  # fmt: skip
    source = data.source({"name": "arrays", "root": str(tmp_path)}, split="train")
    cats = relabelled(source, ("emu", "cat"))
    assert cats.labels.tolist() == [-1, 1, -1, -1, -1]
    assert account(cats).labelled == 1 and account(cats).unknown == {"dog": 3}
