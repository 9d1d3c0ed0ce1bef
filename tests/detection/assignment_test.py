"""Assignments against scipy's, in total cost: random, tied, degenerate and not finite."""

import jax
import numpy as np
import pytest
import scipy.optimize

from m3i_jax import detection

RNG = np.random.default_rng(17)
assign = jax.jit(detection.assign)


def kinds(sets, queries, objects):
    """Costs of several kinds, (sets, Q, G), one after the other."""
    shape = (sets, queries, objects)
    rows, columns = RNG.random((sets, queries, 1)), RNG.random((sets, 1, objects))
    cost = np.stack(
        [
            RNG.normal(size=shape),
            RNG.integers(0, 3, shape),  # tied
            np.zeros(shape),
            3 * rows + columns + 0.1 * RNG.random(shape),  # all want the same query
            rows * columns,  # where greedy choices are worst
            1e4 + RNG.random(shape),
            RNG.normal(size=shape) * 10.0 ** RNG.integers(-4, 4, shape),
        ]
    )
    return cost.reshape(-1, queries, objects).astype(np.float32)


def hold(cost, present, got):
    """Who has whom is one to one, both ways alike, and costs as little as scipy's."""
    total, best, size = [], [], []
    for c, real, query, owner in zip(np.float64(cost), present, *map(np.asarray, got), strict=True):
        places = np.flatnonzero(real)
        mine = query[places]
        assert len({*mine}) == len(places)
        np.testing.assert_array_equal(owner[mine], places)
        assert (owner >= 0).sum() == len(places) and not query[~real].any()
        total.append(c[mine, places].sum())
        best.append(c[:, places][scipy.optimize.linear_sum_assignment(c[:, places])].sum())
        size.append(np.abs(c).max() * len(places) + 1e-30)
    # Sums of float32, of as many numbers as there are objects.
    off = np.abs(np.array(total) - best) / np.array(size)
    assert off.max() <= 2e-7, f"{off.max()} of the largest costs, in set {off.argmax()}"


@pytest.mark.parametrize(
    "queries, objects, sets", [(12, 7, 60), (9, 9, 40), (60, 40, 4), (5, 1, 5)]
)
def test_the_total_cost_is_that_of_scipy(queries, objects, sets):
    cost = kinds(sets, queries, objects)
    for present in (RNG.random((len(cost), objects)) < 0.7, np.ones((len(cost), objects), bool)):
        hold(cost, present, assign(cost, present))


def test_without_ties_the_pairs_are_those_of_scipy():
    cost = RNG.normal(size=(50, 12, 7)).astype(np.float32)
    got = assign(cost, np.ones((50, 7), bool))
    for c, query in zip(cost, np.asarray(got.query), strict=True):
        queries, objects = scipy.optimize.linear_sum_assignment(c)
        np.testing.assert_array_equal(query[objects], queries)


def test_pairs_that_are_not_finite_are_as_few_as_can_be():
    cost = kinds(60, 12, 7)[: 60 * 6]
    bad = np.float32([np.nan, np.inf, -np.inf, 3e38])
    share = RNG.choice([0.1, 0.6, 0.95, 1.0], len(cost))[:, None, None]
    broken = RNG.random(cost.shape) < share
    given = np.where(broken, RNG.choice(bad, cost.shape), cost)
    present = RNG.random((len(cost), 7)) < 0.8
    got = assign(given, present)
    worst = 1e7  # more than seven of any others
    hold(np.where(broken, worst, np.float64(cost)), present, got)
    taken = np.take_along_axis(broken, np.asarray(got.query)[:, None], 1)[:, 0] & present
    clean = np.where(broken, 1.0, 0.0)
    for number, pairs, real in zip(taken.sum(1), clean, present, strict=True):
        least = pairs[:, real][scipy.optimize.linear_sum_assignment(pairs[:, real])].sum()
        assert number == least


def test_nothing_of_padding_counts_and_any_leading_axes_do():
    cost = RNG.normal(size=(2, 3, 12, 7)).astype(np.float32)
    present = np.broadcast_to(np.arange(7) < 4, (2, 3, 7))
    got = detection.assign(cost, present)
    cost[..., 4:] = np.nan
    again = detection.assign(cost, present)
    for one, two in zip(got, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert got.query.shape == (2, 3, 7) and got.object.shape == (2, 3, 12)
    none = detection.assign(cost, np.zeros((2, 3, 7), bool))
    assert not np.asarray(none.query).any() and (np.asarray(none.object) == -1).all()


def test_fewer_queries_than_places_for_objects_are_refused():
    with pytest.raises(ValueError, match="3 queries for 4 objects"):
        detection.assign(np.zeros((1, 3, 4), np.float32), np.ones((1, 4), bool))


def test_no_object_belongs_to_nobody():
    found = detection.assign(np.zeros((2, 3, 0), np.float32), np.ones((2, 0), bool))
    assert found.query.shape == (2, 0)
    np.testing.assert_array_equal(found.object, np.full((2, 3), -1, np.int32), strict=True)
