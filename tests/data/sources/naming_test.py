"""Numbers of a container's classes become those of training, by name."""

import unicodedata

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import naming


def test_labels_are_numbers_of_training_by_name():
    codes = np.array([0, 2, -1, 1, 2])
    own = naming.numbered(codes, ("b", "a", "c"), None)
    assert own.classes == ("b", "a", "c") and own.labels.tolist() == codes.tolist()
    other = naming.numbered(codes, ("b", "a", "c"), ("a", "b"))
    assert other.labels.tolist() == [1, -1, -1, 0, -1] and other.unknown == {"c": 2}
    assert naming.counts(other.unknown) == "2 of 'c', not in training"
    none = naming.numbered(codes, (), ("a",))
    assert none.labels.tolist() == [-1] * 5 and none.classes == ("a",) and not none.unknown


def test_an_accent_has_one_form():
    nfd = unicodedata.normalize("NFD", "é")
    assert naming.numbered(np.array([0]), (nfd,), ("a", "é")).labels.tolist() == [1]
    with pytest.raises(ConfigError, match="look the same"):
        naming.numbered(np.array([0]), (nfd, "é"), None)


def test_numbers_are_sorted_as_numbers_and_called_by_a_file(tmp_path):
    met = ("10", "9", "0")
    called = naming.called(met, tmp_path, None)
    assert called.names == ("0", "9", "10") and called.places.tolist() == [2, 1, 0, -1]
    assert naming.called(("b", "10", "a"), tmp_path, None).names == ("10", "a", "b")
    (tmp_path / "classes.txt").write_text("".join(f"name {n}\n" for n in range(11)))
    called = naming.called(met, tmp_path, None)
    assert called.names[10] == "name 10" and called.places.tolist() == [10, 9, 0, -1]
    assert "classes.txt" in called.note
    assert naming.called(("b", "a"), tmp_path, None).names == ("a", "b")
    with pytest.raises(ConfigError, match="names for 11 classes, but one is number 11"):
        naming.called(("11",), tmp_path, None)
    with pytest.raises(ConfigError, match="'b', 'a'; .* has names for numbers"):
        naming.called(("b", "a"), tmp_path, str(tmp_path / "classes.txt"))
