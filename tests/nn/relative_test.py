"""The relative position bias: offsets one by one, kept cells, other grids."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.nn.relative import (
    RelativeBias,
    bias_rows,
    linear_weights,
    of_side,
    relative_index,
    with_offsets,
)
from m3i_jax.nn.resample import resample


def made(key, **fields):
    module = RelativeBias(heads=2, grid=(2, 3), **fields)
    table = module.init(key, None)["params"]["table"]
    return module, table, jax.random.normal(key, table.shape)


def test_every_pair_by_hand(key):
    module, start, table = made(key)
    assert start.shape == (3 * 5 + 3, 2) and not start.any()
    got = np.asarray(module.apply({"params": {"table": table}}, None))
    assert got.shape == (1, 2, 7, 7)
    cells = [(r, c) for r in range(2) for c in range(3)]
    for i, (r, c) in enumerate(cells):
        for j, (s, d) in enumerate(cells):
            row = (r - s + 1) * 5 + (c - d + 2)
            np.testing.assert_array_equal(got[0, :, 1 + i, 1 + j], table[row])
    np.testing.assert_array_equal(got[0, :, 0, 1:], np.tile(table[15][:, None], 6))
    np.testing.assert_array_equal(got[0, :, 1:, 0], np.tile(table[16][:, None], 6))
    np.testing.assert_array_equal(got[0, :, 0, 0], table[17])


def test_counts():
    # By formula: (2g-1)^2 + 3 entries per head on a 14x14 grid.
    assert bias_rows((14, 14), class_token=True) == 27**2 + 3
    assert bias_rows((14, 14), class_token=False) == 27**2
    index = relative_index((3, 4), class_token=True)
    # Every row of the table is some pair's.
    assert set(index.reshape(-1)) == set(range(bias_rows((3, 4), class_token=True)))


def test_kept_cells_are_rows_and_columns_of_the_whole(key):
    for class_token in (True, False):
        module, _, table = made(key, class_token=class_token)
        whole = np.asarray(module.apply({"params": {"table": table}}, None))[0]
        cells = jnp.array([[0, 2, 5], [4, 1, 3]], jnp.int32)
        got = np.asarray(module.apply({"params": {"table": table}}, cells))
        for b in range(2):
            places = [0, *(np.asarray(cells[b]) + 1)] if class_token else np.asarray(cells[b])
            np.testing.assert_array_equal(got[b], whole[:, places][:, :, places])


def test_another_grid_resamples_the_offsets(key):
    module, _, table = made(key, at=(3, 2))
    got = np.asarray(module.apply({"params": {"table": table}}, None))
    assert got.shape == (1, 2, 7, 7)
    moved = np.asarray(resample(table[:15].reshape(3, 5, 2), (5, 3)))
    # No offset stays no offset, and the class token's entries stay as they are.
    np.testing.assert_allclose(got[0, :, 3, 3], moved[2, 1], rtol=1e-6)
    np.testing.assert_allclose(moved[2, 1], table[7], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[0, :, 1, 6], moved[0, 0], rtol=1e-6)
    np.testing.assert_array_equal(got[0, :, 0, 0], table[17])


def test_products_of_longer_queries_and_keys_are_scores_with_offsets(key):
    size, scale = (2, 3), 0.37
    draw = np.random.default_rng(0).normal
    q, k = draw(size=(2, 1, 2, 6, 4, 5))
    rows, columns = draw(size=(3, 5)), draw(size=(5, 5))
    given = (jnp.float32(x) for x in (q, k))
    longer = with_offsets(scale, *given, (jnp.float32(rows), jnp.float32(columns)), size)
    got = np.einsum("bnqhd,bnkhd->bnhqk", *map(np.float64, longer))
    for i in range(6):
        for j in range(6):
            codes = scale * k[:, :, j] + rows[i // 3 - j // 3 + 1] + columns[i % 3 - j % 3 + 2]
            want = (q[:, :, i] * codes).sum(-1)
            np.testing.assert_allclose(got[..., i, j], want, rtol=1e-5, atol=1e-5)


def test_codes_of_another_side_lie_on_straight_lines():
    ramp = np.arange(5.0, dtype=np.float32)[:, None] * np.ones(2, np.float32)
    assert of_side(ramp, 3) is ramp
    # 9 samples of 5: i · 5/9 − 2/9, and the ends beyond them.
    want = np.clip(np.arange(9) * 5 / 9 - 2 / 9, 0, 4)
    np.testing.assert_allclose(of_side(ramp, 5)[:, 0], want, rtol=1e-6)
    np.testing.assert_allclose(linear_weights(5, 9).sum(1), 1, rtol=1e-6)
