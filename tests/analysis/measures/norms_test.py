"""Norms of the patch tokens, by NumPy; outliers where they were put."""

import numpy as np
import pytest

from m3i_jax.analysis import measures, tokens
from m3i_jax.analysis.measure import Rows
from tests.analysis import toy_blocks


def test_norms_are_those_of_the_tokens(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    (measure,) = measures.create([{"name": "norms"}])
    shown = toy_blocks.shown(measure, evaluation)
    lengths = np.linalg.norm(toy_blocks.tokens(evaluation), axis=-1)
    first, patches = lengths[:, :, 0], lengths[:, :, 1:].swapaxes(0, 1).reshape(3, -1)
    right = {
        "mean": patches.mean(1),
        "median_low": np.quantile(patches, 0.05, axis=1),
        "median": np.median(patches, 1),
        "median_high": np.quantile(patches, 0.95, axis=1),
        "largest": patches.max(1),
        "cutoff": [tokens.cutoff(x, deviations=6) for x in patches],
        "class_token": first.mean(0),
    }
    assert right.keys() | {"outliers"} == shown.values.keys()
    for name, column in right.items():
        np.testing.assert_allclose(shown.values[name], column, rtol=1e-5)
    assert shown.counts == {"test": 43}


@pytest.mark.parametrize("cutoff", [None, 3.0])
def test_outliers_are_counted_and_drawn_where_they_are(cutoff, tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    lengths = np.random.default_rng(0).uniform(0.9, 1.1, (2, 8, 17)).astype(np.float32)
    lengths[:, :, 0] = 50  # of the class token, which is no patch
    lengths[1, :2, 6] = 9.0
    rows = Rows((), lengths, np.arange(8), np.full(8, -1), 8)
    settings = {} if cutoff is None else {"cutoff": cutoff}
    (measure,) = measures.create([{"name": "norms", **settings}])
    shown = measure.measure(evaluation, rows)
    assert shown.values["outliers"] == [0, 2 / (8 * 16)]
    (picture,) = shown.pictures
    assert picture.caption.endswith("block 2: up to 0.25")
    # One tile: cell (1, 1) is dark, all others are of one light grey.
    tile = picture.image[8 : 8 + 128, 8 : 8 + 128].astype(int)
    cells = tile.reshape(4, 32, 4, 32, 3).min((1, 3, 4))
    assert cells[1, 1] < 120 and (np.delete(cells.ravel(), 5) == 238).all()


def test_no_outliers_no_picture(tmp_path):
    evaluation = toy_blocks.evaluation(tmp_path)
    (measure,) = measures.create([{"name": "norms", "cutoff": 1e5}])
    shown = toy_blocks.shown(measure, evaluation)
    assert shown.values["outliers"] == [0, 0, 0] and shown.pictures == []
