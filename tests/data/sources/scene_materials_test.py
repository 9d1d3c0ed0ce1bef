"""Digits and photographs: those of a split are in no other, and each may be used."""

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import scene_materials
from m3i_jax.data.sources.digit_scenes import digit_scenes

sklearn = pytest.importorskip("sklearn.datasets")
pytest.importorskip("skimage")


def test_the_splits_share_no_digit_and_no_background_pixel():
    train, test = (digit_scenes(s, length=3000) for s in ("train", "test"))
    used = [{source.scene(i).digit for i in range(3000)} for source in (train, test)]
    assert len(used[0]) > 1000 and max(used[0]) < scene_materials.TRAIN_DIGITS <= min(used[1])
    everything = [np.sort(np.concatenate(s.by_class)) for s in (train, test)]
    assert np.array_equal(np.concatenate(everything), np.arange(1797))
    for photograph, left, right in zip(
        scene_materials.PHOTOGRAPHS, train.backgrounds, test.backgrounds, strict=True
    ):
        width, height = scene_materials.decoded(photograph).size
        for level, a, b in zip(scene_materials.LEVELS, left, right, strict=True):
            # The two parts together are as wide as the photograph: they cannot overlap.
            whole = width * round(level * 48) / min(width, height)
            assert a.shape[1] + b.shape[1] == pytest.approx(whole, abs=1)
            assert not a.flags.writeable


def test_digits_are_those_of_scikit_learn_within_a_margin():
    digits, (padded, by_class) = sklearn.load_digits(), scene_materials.glyphs("test")
    assert len(padded) == 1797 and {glyph.size for glyph in padded} == {(10, 10)}
    for number in (0, 1436, 1437, 1796):
        inside = np.asarray(padded[number])[1:-1, 1:-1]
        np.testing.assert_allclose(inside, digits.images[number] * 255 / 16, atol=0.5)
    assert all((digits.target[numbers] == c).all() for c, numbers in enumerate(by_class))


def test_without_clutter_a_background_is_the_colour_of_its_photograph():
    plain, shaded = (scene_materials.backgrounds(48, 0.0, s, "train") for s in (1.0, 0.5))
    for (photograph, *_), (darker, *_) in zip(plain, shaded, strict=True):
        assert (photograph == photograph[0, 0]).all() and photograph.shape[2] == 3
        np.testing.assert_allclose(darker[0, 0], photograph[0, 0] / 2.0, atol=0.75)  # two roundings


def test_every_photograph_says_what_it_shows_and_who_allows_it():
    assert all(all(photograph) for photograph in scene_materials.PHOTOGRAPHS)
    assert len({p.noun for p in scene_materials.PHOTOGRAPHS}) == 12


def test_a_missing_package_names_the_extra(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(scene_materials.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'm3i_jax\[scenes\]'"):
        scene_materials._package("skimage.data")
    monkeypatch.setattr(scene_materials.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs skimage; run: pip install 'm3i_jax\[scenes\]'"):
        scene_materials.require()
