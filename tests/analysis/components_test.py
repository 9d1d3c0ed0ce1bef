"""Components are scikit-learn's; colours are on one scale, the foreground is in the middle."""

import numpy as np
import pytest

from m3i_jax.analysis import components

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 9)) @ RNG.normal(size=(9, 9)) + 5


def test_components_are_those_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    right = decomposition.PCA(3, svd_solver="full").fit(X)
    fitted = components.fit(X)
    signs = np.sign((fitted.directions * right.components_).sum(1))
    np.testing.assert_allclose(fitted.directions, signs[:, None] * right.components_, atol=1e-10)
    np.testing.assert_allclose(fitted.shares, right.explained_variance_ratio_, rtol=1e-10)
    projected = components.scores(fitted, X.reshape(6, 10, 9)).reshape(60, 3)
    np.testing.assert_allclose(projected, signs * right.transform(X), atol=1e-9)


def test_signs_are_the_same_whatever_the_order_of_the_rows():
    fitted = components.fit(X)
    assert (fitted.directions.max(1) == np.abs(fitted.directions).max(1)).all()
    again = components.fit(RNG.permutation(X))
    np.testing.assert_allclose(again.directions, fitted.directions, atol=1e-10)


def test_too_little_is_refused_and_constants_have_no_shares():
    for x in (X[:1], X[:, :2]):
        with pytest.raises(ValueError, match="3 components of"):
            components.fit(x)
    np.testing.assert_array_equal(components.fit(np.ones((5, 4))).shares, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_foreground_is_what_the_border_lacks(sign):
    first = np.full((2, 5, 5), -1.0)
    first[:, 1:4, 2:4] = 1.0
    first[0, 0, 0] = 1.0
    np.testing.assert_array_equal(components.foreground(sign * first), first > 0)


def test_colours():
    scores = np.stack(np.broadcast_arrays(*[np.linspace(-s, s, 101) for s in (1, 5, 0)]), -1)
    got = components.colours(scores.reshape(1, 1, 101, 3))[0, 0].astype(int)
    # From the first to the 99th hundredth, what is beyond cut off; a constant is all one colour.
    right = np.rint(255 * ((np.arange(101) - 1) / 98).clip(0, 1)).astype(int)
    np.testing.assert_array_equal(got[:, :2], right[:, None].repeat(2, 1))
    assert len(set(got[:, 2].tolist())) == 1
    among = np.zeros((1, 1, 101), bool)
    among[..., 50:] = True
    part = components.colours(scores.reshape(1, 1, 101, 3), among=among)[0, 0]
    assert (part[:50] == 0).all() and part[-1].max() == 255
    assert (components.colours(scores.reshape(1, 1, 101, 3), among=~among & among) == 0).all()
