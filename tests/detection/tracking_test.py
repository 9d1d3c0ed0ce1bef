"""Cells of a region: which the object is in, and which is believed."""

import numpy as np

from m3i_jax.detection import tracking


def test_cells_tile_the_region():
    cells = tracking.cell_boxes((2, 3), (20, 60))
    np.testing.assert_array_equal(cells[0], [0, 0, 10, 20])
    np.testing.assert_array_equal(cells[5], [10, 40, 20, 60])
    assert ((cells[:, 2:] - cells[:, :2]).prod(1)).sum() == 20 * 60


def test_an_object_is_in_every_cell_between_those_of_its_corners():
    """Against the floor of both corners, in cells, both of them inclusive."""
    rng, grid, size = np.random.default_rng(0), (5, 7), (50, 140)
    ends = np.sort(rng.uniform(0, 1, (200, 2, 2)), axis=1) * size
    corners = np.float32(ends.reshape(200, 4))
    corners[0] = [10, 20, 10, 20]  # of no size, on a corner of cells
    corners[1] = [0, 0, 50, 140]  # everything
    cells = np.tile(tracking.cell_boxes(grid, size)[None], (200, 1, 1))
    found = np.asarray(tracking.cells_inside(cells, corners)).reshape(200, *grid)
    scale = np.divide(grid, size)
    for box, said in zip(corners, found, strict=True):
        first = np.floor(box[:2] * scale).astype(int)
        last = np.minimum(np.floor(box[2:] * scale).astype(int), np.subtract(grid, 1))
        expected = np.zeros(grid, bool)
        expected[first[0] : last[0] + 1, first[1] : last[1] + 1] = True
        np.testing.assert_array_equal(said, expected)


def test_the_surest_cell_near_the_middle_is_believed():
    grid, logits = (5, 5), np.full((2, 25), -9.0, np.float32)
    logits[0, 12] = logits[0, 0] = 2.0  # the middle and a corner alike
    logits[1, 12], logits[1, 11] = -9.0, 1.0
    corners = np.float32(np.arange(2 * 25 * 4).reshape(2, 25, 4))
    cells = np.tile(tracking.cell_boxes(grid, (50, 50))[None], (2, 1, 1))
    said = tracking.Tracked(logits, corners, cells)
    box, sure, cell = tracking.surest_box(said, grid)
    assert cell.tolist() == [12, 11]
    np.testing.assert_array_equal(box, [corners[0, 12], corners[1, 11]])
    np.testing.assert_allclose(sure, 1 / (1 + np.exp([-2.0, -1.0])), rtol=1e-6)
    assert tracking.surest_box(said, grid, window=1.0)[2].tolist() == [12, 12]
    assert tracking.hann_prior(grid)[12] == 1 and tracking.hann_prior(grid)[0] == 0
