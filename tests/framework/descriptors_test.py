"""Codes of the image itself: patches of pixels, histograms of edges."""

import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import histograms
from m3i_jax.build import ConfigError
from m3i_jax.framework.codes import EncoderInput


def code_of(encoder, toy, view):
    """What an encoder without parameters makes of a view."""
    features, updates = encoder.apply(EncoderInput(view, toy, None, {}, 0.0, None))
    assert not updates
    return np.asarray(features.tokens)


def test_pixels_are_the_patches_of_the_image(toy, views):
    encoder = fw.pixels(normalization="raw")
    tokens = code_of(encoder, toy, views["a"])
    image = np.asarray(views["a"].data)
    np.testing.assert_array_equal(tokens[1, 6].reshape(2, 2, 3), image[1, 2:4, 4:6])
    assert encoder.width(toy.towers) == 12
    with pytest.raises(ValueError, match="patch, raw, window, window47, not 'pathc'"):
        fw.pixels(normalization="pathc")


def test_edges_are_the_histograms_of_the_patches(toy, views):
    encoder = fw.hog(cell=1)
    tokens = code_of(encoder, toy, views["a"])
    np.testing.assert_array_equal(tokens, histograms.hog(views["a"].data, patch=2, cell=1))
    assert encoder.width(toy.towers) == tokens.shape[-1] == 3 * 9 * 4
    with pytest.raises(ConfigError, match="cells of 4 pixels, of which the patches .* are not"):
        fw.hog(cell=4).width(toy.towers)
