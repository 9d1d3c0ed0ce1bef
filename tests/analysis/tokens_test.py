"""Pooling leaves the class token out; norms and outliers by their definitions."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.analysis import tokens
from m3i_jax.evaluation.features import NotMeasurable

RNG = np.random.default_rng(0)


def of(pool="mean", **block):
    """As much of an evaluation as says where class tokens are."""
    return SimpleNamespace(model=SimpleNamespace(name="toy", block=block), pool=pool)


def test_pooling_knows_the_class_token():
    x = RNG.normal(size=(2, 17, 5)).astype(np.float32)
    mean, first = x[:, 1:].mean(1), x[:, 0]
    for how, right in ((None, mean), ("mean", mean), ("cls", first)):
        np.testing.assert_allclose(tokens.pooler(of(name="vit_s16"), pool=how)(x), right, rtol=1e-6)
    np.testing.assert_array_equal(tokens.pooler(of("both", name="vit_s16"))(x), first)
    behind = dict(name="vit_s16", registers=3)  # of 13 patches
    np.testing.assert_allclose(tokens.pooler(of(**behind))(x), x[:, 4:].mean(1), rtol=1e-6)
    np.testing.assert_array_equal(tokens.pooler(of("cls", **behind))(x), first)
    for block in (dict(name="vit_s16", class_token=False), dict(name="swin_v2_t")):
        np.testing.assert_allclose(tokens.pooler(of(**block))(x), x.mean(1), rtol=1e-6)
        with pytest.raises(NotMeasurable, match="'toy' has no class token; pool by mean instead"):
            tokens.pooler(of(**block), pool="cls")


def test_norms_of_any_size():
    x = RNG.normal(size=(2, 7, 5))
    for scale in (1.0, 1e-25, 1e25):  # whose squares float32 does not have
        right = scale * np.linalg.norm(x, axis=-1)
        np.testing.assert_allclose(tokens.norms(jnp.asarray(scale * x)), right, rtol=1e-6)
    np.testing.assert_array_equal(tokens.norms(jnp.zeros((3, 4))), 0)


def test_the_cutoff_is_deviations_of_a_normal_distribution_whatever_outliers_do():
    norms = RNG.normal(50, 5, 100_000)
    plain = tokens.cutoff(norms, deviations=6)
    # The median absolute deviation has a standard error of 1.17 σ/√n, here 0.4 % of σ.
    assert plain == pytest.approx(50 + 6 * 5, abs=6 * 5 * 0.02)
    norms[:2000] = 500
    assert tokens.cutoff(norms, deviations=6) == pytest.approx(plain, rel=0.02)
    assert tokens.cutoff(np.ones(5), deviations=6) == 1


def test_where_outliers_are():
    outliers = np.zeros((4, 9), bool)
    outliers[0, 2] = outliers[1, 2] = outliers[1, 3] = True
    shares = np.zeros((3, 3))
    shares[0, 2], shares[1, 0] = 0.5, 0.25
    np.testing.assert_array_equal(tokens.where(outliers), shares)
    assert tokens.where(outliers[:, :8]) is None
    assert tokens.square(196) == (14, 14) and tokens.square(195) is None
