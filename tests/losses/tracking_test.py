"""Losses of a tracker against loops over cells in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import losses
from m3i_jax.detection import tracking

GRID, SIZE, ROWS = (3, 4), (30, 40), 3


@pytest.fixture(scope="module")
def said():
    rng = np.random.default_rng(0)
    ends = np.sort(rng.uniform(0, 1, (ROWS, 12, 2, 2)), axis=2) * SIZE
    cells = np.tile(tracking.cell_boxes(GRID, SIZE)[None], (ROWS, 1, 1))
    logits = rng.normal(0, 2, (ROWS, 12)).astype(np.float32)
    return tracking.Tracked(logits, np.float32(ends.reshape(ROWS, 12, 4)), cells)


CORNERS = np.float32([[2, 3, 18, 27], [0, 0, 30, 40], [11, 21, 13, 22]])


def overlap(a, b):
    """IoU and GIoU of two boxes."""
    size = lambda x: max(x[2] - x[0], 0.0) * max(x[3] - x[1], 0.0)  # noqa: E731
    both = size([max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])])
    hull = size([min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])])
    union = size(a) + size(b) - both
    return both / union, both / union - (hull - union) / hull


def reference(said, corners):
    """The two sums over all cells, divided by what the batch has."""
    sure, place, count, weight = 0.0, 0.0, 0, 0.0
    for row, box in enumerate(np.float64(corners)):
        for cell, own, logit in zip(
            *(np.float64(x[row]) for x in (said.cells, said.corners, said.logits)), strict=True
        ):
            p = 1 / (1 + np.exp(-logit))
            q = 0.0
            if (cell[2:] > box[:2]).all() and (cell[:2] <= box[2:]).all():
                q, g = overlap(own, box)
                place, weight, count = place + p * (1 - g), weight + p, count + 1
            # A cell in the object whose box misses it says as little as one beside it.
            seen = q * np.log(p) + (1 - q) * np.log(1 - p)
            sure -= q * seen if q > 0 else 0.75 * p**2 * np.log(1 - p)
    return sure / count, place / weight


def test_losses_are_those_of_the_formula(said):
    expected = reference(said, CORNERS)
    found = [loss(said, CORNERS) for loss in (losses.tracked_sureness, losses.tracked_place)]
    assert [x.shape for x in found] == [(ROWS,)] * 2
    # Sums of 36 numbers in float32.
    np.testing.assert_allclose([x.mean() for x in found], expected, rtol=2e-6)


def test_how_good_a_box_is_teaches_no_box_and_how_sure_a_cell_is_no_cell(said):
    sure, place = losses.tracked_sureness, losses.tracked_place
    moved = lambda loss, name: jax.grad(  # noqa: E731
        lambda x: loss(said._replace(**{name: x}), CORNERS).sum()
    )(jnp.asarray(getattr(said, name)))
    assert not moved(sure, "corners").any() and not moved(place, "logits").any()
    assert moved(sure, "logits").any() and moved(place, "corners").any()
