"""Colours against matplotlib's, growing lightness, and maps where they belong on the image."""

import numpy as np
import pytest

from m3i_jax.analysis import heat


def test_colours_are_viridis():
    matplotlib = pytest.importorskip("matplotlib")
    values = np.linspace(0, 1, 256)
    theirs = 255 * np.array(matplotlib.colormaps["viridis"].colors)
    np.testing.assert_allclose(heat.colours(values).astype(float), theirs, atol=6.5)


def test_lightness_grows_evenly():
    """CIE L* of 17 steps: the sum of what each adds is the whole, and none is twice another."""
    linear = (heat.colours(np.linspace(0, 1, 17)) / 255) ** 2.2
    light = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    steps = np.diff(light)
    assert steps.min() > 0 and steps.max() < 2 * steps.min()


def test_what_is_no_share_is_cut_off():
    ends = heat.colours(np.array([-1.0, np.nan, 0.0, 1.0, 2.0]))
    assert (ends[:3] == ends[2]).all() and (ends[3:] == ends[3]).all()


def test_a_cell_lights_up_where_it_is():
    weights = np.zeros((4, 4))
    weights[1, 3] = 0.2
    drawn = heat.overlay(np.zeros((32, 32, 3), np.uint8), weights, most=0.2)
    assert drawn.shape == (32, 32, 3) and drawn.dtype == np.uint8
    brightest = np.unravel_index(drawn.sum(-1).argmax(), (32, 32))
    assert 8 <= brightest[0] < 16 and 24 <= brightest[1] < 32
    plain = heat.overlay(np.zeros((8, 8, 3), np.uint8), np.zeros((4, 4)), most=0.0)
    assert (plain == plain[0, 0]).all()
