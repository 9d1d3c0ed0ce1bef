"""Uniformity and alignment by their definitions, pair by pair, in float64."""

import itertools

import jax
import numpy as np
import pytest

from m3i_jax.analysis import spectrum

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 40, 5)) + 0.5


def directions(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("t", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("chunk", [7, 256])
def test_uniformity(t, chunk, monkeypatch):
    monkeypatch.setattr(spectrum, "CHUNK", chunk)
    u = directions(X)
    pairs = [np.exp(-t * np.square(a - b).sum()) for a, b in itertools.combinations(u, 2)]
    got = jax.jit(lambda x: spectrum.uniformity(x, t=t))(np.float32(X))
    assert got == pytest.approx(np.log(np.mean(pairs)), abs=2e-6)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_alignment(alpha):
    right = np.mean(np.linalg.norm(directions(X) - directions(Y), axis=1) ** alpha)
    got = spectrum.alignment(np.float32(X), np.float32(Y), alpha=alpha)
    assert got == pytest.approx(right, rel=1e-6)


def test_what_they_are_where_it_is_known():
    assert spectrum.uniformity(np.ones((5, 3), np.float32)) == pytest.approx(0, abs=1e-6)
    assert spectrum.alignment(np.float32(X), np.float32(3 * X)) == pytest.approx(0, abs=1e-12)
    wide = RNG.normal(size=(2, 300, 2000)).astype(np.float32)
    # Cosines of random directions are normal of variance 1/2000, so e^(4 cos) is 1 + 8/2000.
    assert spectrum.uniformity(wide[0]) == pytest.approx(-4 + 8 / 2000, abs=1e-3)
    assert spectrum.alignment(*wide) == pytest.approx(2, abs=0.01)
    with pytest.raises(ValueError, match="uniformity of 1 rows, expected 2 or more"):
        spectrum.uniformity(np.float32(X[:1]))
