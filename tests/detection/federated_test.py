"""Categories that are compared: a loop over clocks, exact counts, and how often each is drawn."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import detection

B, R, C = 4, 6, 12
RNG = np.random.default_rng(0)
LOTS = RNG.random((B, C), np.float32)
# Three categories and background, background alone, seven categories, and no box.
KINDS = np.int32([
    [3, 3, 0, 5, 12, 12], [12] * 6, [0, 1, 2, 3, 4, 5], [-1] * 6,
])  # fmt: skip
SHOWN = np.tile(np.float32([9, 4, 1, 0, 100, 7, 2, 0, 3, 50, 1, 6]), (B, 1))


def test_those_that_are_there_and_the_first_of_the_others_to_ring():
    got = np.asarray(detection.compared(LOTS, KINDS, SHOWN, count=6))
    for row in range(B):
        there = {k for k in KINDS[row].tolist() if k >= 0}
        with np.errstate(divide="ignore"):
            rings = -np.log(np.float64(LOTS[row])) / np.sqrt(np.float64(SHOWN[row]))
        others = [c for c in np.argsort(rings) if c not in there and SHOWN[row, c]]
        wanted = (there - {C}) | set(others[: max(6 - len(there), 0)])
        assert {*np.flatnonzero(got[row]).tolist()} == wanted
    # Background is one of the six; of six that are there no other is drawn.
    assert got.sum(1).tolist() == [5, 5, 6, 6]
    few = detection.compared(LOTS, KINDS, SHOWN, count=2)
    assert few.sum(1).tolist() == [3, 1, 6, 2]
    assert not got[:2, 7].any() and got[0, 3], "shown by no image: there, or never"
    every = np.asarray(detection.compared(LOTS, KINDS, SHOWN, count=100))
    assert every.sum(1).tolist() == [11, 10, 11, 10], "all but those of no image"


def test_each_is_drawn_by_the_root_of_how_many_images_show_it():
    """One of the others: the share is w / Σ w, of 40 000 images to four standard errors."""
    rows = 40_000
    lots = jax.random.uniform(jax.random.key(1), (rows, C))
    kinds = jnp.tile(jnp.int32([[4, 12]]), (rows, 1))
    found = detection.compared(lots, kinds, jnp.tile(SHOWN[:1], (rows, 1)), count=3)
    share = np.asarray(found, np.float64).mean(0)
    weight = np.sqrt(np.float64(SHOWN[0]))
    weight[4] = 0
    right = weight / weight.sum()
    others = np.arange(C) != 4
    assert share[4] == 1
    error = np.sqrt(right * (1 - right) / rows)
    assert (np.abs(share - right)[others] <= 4 * error[others]).all()
    # Two without the first: p_j p_i / (1 - p_i), summed over which came first.
    both = detection.compared(lots, kinds, jnp.tile(SHOWN[:1], (rows, 1)), count=4)
    wanted = right + [
        sum(right[i] * right[j] / (1 - right[i]) for i in range(C) if i != j) for j in range(C)
    ]
    error = np.sqrt(wanted * (1 - wanted) / rows)
    got = np.asarray(both, np.float64).mean(0)
    assert (np.abs(got - wanted)[others] <= 4 * error[others]).all()
