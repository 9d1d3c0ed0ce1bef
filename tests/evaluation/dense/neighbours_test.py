"""Cells vote as NumPy in float64 says; a bank is bounded, balanced, and the same again."""

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import models
from m3i_jax.evaluation.dense import neighbours, tested
from m3i_jax.evaluation.dense.neighbours import Bank, Cells, Neighbours
from m3i_jax.evaluation.features import NotMeasurable
from tests.evaluation.dense.scenes import Squares
from tests.two_processes import as_two

BLOCK = dict(name="vit_nano", image=16, patch=4, width=16, depth=2, heads=2)


def reference(features, shares, queries, *, k, temperature):
    """Σ exp(cos/τ) s / Σ exp(cos/τ) of the k nearest, in float64."""
    features, queries = (
        x / np.linalg.norm(x, axis=-1, keepdims=True) for x in map(np.float64, (features, queries))
    )
    said = []
    for near in queries @ features.T:
        best = np.argsort(-near)[:k]
        weights = np.exp(near[best] / temperature)
        said.append(weights @ shares[best] / weights.sum())
    return np.array(said)


@pytest.mark.parametrize("k", [7, 500])
def test_the_vote_is_that_of_the_formula(k):
    rng = np.random.default_rng(0)
    features, queries = rng.normal(size=(50, 6)), rng.normal(size=(13, 6))
    shares = rng.dirichlet(np.ones(3), 50)
    how = dict(k=k, temperature=0.07)
    bank = Bank(normalize.unit(jnp.asarray(features)), jnp.float32(shares))
    expected = reference(features, shares, queries, **how)
    for chunk in (4, 512):  # memory, and nothing else
        said = neighbours.vote(bank, jnp.float32(queries), chunk=chunk, **how)
        np.testing.assert_allclose(said, expected, atol=2e-6)


def test_shares_are_of_the_named_pixels_of_a_cell():
    mask = np.uint8([[0, 1, 255, 255], [1, 1, 255, 255], [2, 2, 255, 0], [2, 2, 0, 1]])
    shares = neighbours.shares_of(mask, (2, 2), 3)
    np.testing.assert_allclose(shares[0], [[1 / 4, 3 / 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(shares[1], [[0, 0, 1], [2 / 3, 1 / 3, 0]], atol=1e-7)
    # The cell without a named pixel is not drawn; each category has its turn before one has two.
    for seed in range(9):
        every = neighbours.drawn(shares, 9, np.random.default_rng(seed))
        assert sorted(every) == [0, 2, 3]
    many = np.zeros((5, 5, 2), np.float32)
    many[..., 0] = 1
    many[2, 3] = 0, 1
    for seed in range(9):
        two = neighbours.drawn(many, 2, np.random.default_rng(seed))
        assert 13 in two and len(set(two.tolist())) == 2


@pytest.mark.parametrize("model", [models.RAW, models.fresh(BLOCK)], ids=["pixels", "encoder"])
def test_a_bank_of_a_source_votes_for_cells_of_others(model):
    cells = Cells.of(model, (1, 2) if model.network else "last", patch=4)
    source = Squares(9, sizes=((16, 16), (24, 12)), silent=(3,))
    bank = neighbours.collected(cells, source, classes=2, most=9 * 6, batch=4)
    assert bank.features.shape == (8 * 6, 48 if model.network is None else 32)
    np.testing.assert_allclose(np.linalg.norm(bank.features, axis=1), 1, atol=1e-5)
    again = neighbours.collected(cells, source, classes=2, most=9 * 6, batch=3)
    # However it is cut into batches, the same cells vote.
    order = [np.lexsort(np.asarray(x.shares).T) for x in (bank, again)]
    np.testing.assert_array_equal(bank.shares[order[0]], again.shares[order[1]])
    assert len(neighbours.collected(cells, source, classes=2, most=5, batch=4).shares) <= 5
    params = {"encoder": cells.params, "bank": bank}
    predictor = Neighbours(cells.apply, params, cells.stride, 5, 0.07)
    one, said = next(tested.predictions(predictor, Squares(1), batch=1))
    assert said.shape == (16, 16, 2)
    np.testing.assert_allclose(said.sum(-1), 1, atol=1e-5)
    views = normalize.levels(jnp.asarray(one.sample.image)[None])
    queries = np.asarray(cells.apply(cells.params, views))[0].reshape(16, -1)
    expected = reference(bank.features, np.asarray(bank.shares), queries, k=5, temperature=0.07)
    there = np.asarray(predictor.said(params, views))[0].reshape(16, 2)
    # Float32 may take another of two cells that are as near as ten thousandths.
    assert (np.abs(there - expected).max(-1) < 1e-3).mean() > 0.8


def test_a_bank_of_two_processes_is_that_of_one(monkeypatch):
    cells = Cells.of(models.RAW, "last", patch=4)
    source = Squares(9, sizes=((16, 16), (24, 12)), silent=(3,))
    how = dict(classes=2, most=9 * 6, batch=4)
    right = neighbours.collected(cells, source, **how)
    both = lambda share: neighbours.collected(cells, source, share=share, **how)  # noqa: E731
    for bank in as_two(monkeypatch, both):
        for one, two in zip(bank, right, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_cannot_vote_is_said():
    with pytest.raises(NotMeasurable, match="no record of 'squares' says its 'mask'"):
        cells = Cells.of(models.RAW, "last", patch=4)
        neighbours.collected(cells, Squares(2, silent=(0, 1)), classes=2, most=9)
    with pytest.raises(ConfigError, match="names category 1, but there are 1"):
        neighbours.collected(cells, Squares(2), classes=1, most=9)
    with pytest.raises(ValueError, match="blocks has 3, but the encoder has 2"):
        Cells.of(models.fresh(BLOCK), (3,), patch=4)
