"""What annotations are of."""

import types

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.annotation_names import categories, objects, points, require_same_objects
from m3i_jax.data.sources.skeletons import STROKES


def test_categories_are_those_of_the_masks():
    source = lambda **fields: types.SimpleNamespace(name="x", **fields)  # noqa: E731
    assert categories(source(categories=("sky", "sea", "land"), classes=())) == 3
    assert categories(source(classes=("cat", "dog"))) == 3  # and what is neither
    with pytest.raises(ConfigError, match="'x' does not say how many categories its masks have"):
        categories(source(classes=()))


def test_categories_of_objects_are_named_or_are_the_classes():
    assert objects(types.SimpleNamespace(name="x", object_names=("a", "b"))) == ("a", "b")
    assert objects(types.SimpleNamespace(name="x", classes=("c",))) == ("c",)
    with pytest.raises(ConfigError, match="'x' does not say what the categories of its objects"):
        objects(types.SimpleNamespace(name="x", classes=()))


def test_two_splits_have_the_same_categories():
    of = lambda *names: types.SimpleNamespace(name="x", object_names=names)  # noqa: E731
    require_same_objects(of("a", "b"), of("a", "b"))
    with pytest.raises(ConfigError, match="category 1 of objects is 'b' in training and 'c' in"):
        require_same_objects(of("a", "b"), of("a", "c"))
    with pytest.raises(ConfigError, match="category 1 of objects is 'b' in training and '' in"):
        require_same_objects(of("a", "b"), of("a"))


def test_key_points_are_those_of_the_skeleton():
    assert points(types.SimpleNamespace(name="x", skeleton=STROKES)) == 5
    with pytest.raises(ConfigError, match="'x' does not say what its key points are"):
        points(types.SimpleNamespace(name="x"))
