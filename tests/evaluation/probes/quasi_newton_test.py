"""The search ends at the minimum, in few iterations, and says where it cannot go on."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from m3i_jax.evaluation.probes import quasi_newton


def bowl(point, data):
    """A convex function with curvatures from 1 to 100 and a part that is no quadratic."""
    curvature, target = data
    gap = point - target
    value = 0.5 * (curvature * gap**2).sum() + jnp.logaddexp(gap, -gap).sum()
    grad = curvature * gap + jnp.tanh(gap)
    return value, grad, jnp.abs(grad).max()


def uphill(point, data):
    value, grad, size = bowl(point, data)
    return value, -grad, size


def minimum(dtype, *, tolerance, limit=500, old=None):
    rng = np.random.default_rng(0)
    data = np.logspace(0, 2, 30).reshape(5, 6), rng.normal(size=(5, 6))
    with jax.enable_x64(True):
        placed = tuple(jnp.asarray(x, dtype) for x in data)
        start = np.zeros((5, 6)) if old is None else old.point
        search = quasi_newton.begin(start, dtype, old=old)
        size = np.dtype(dtype).type(tolerance)
        found = quasi_newton.advance(bowl, search, placed, tolerance=size, limit=np.int32(limit))
        return jax.device_get(found), data[1], data


def test_the_minimum_is_scipys():
    found, target, data = minimum(jnp.float64, tolerance=1e-10)
    assert found.size <= 1e-10 and not found.stuck and found.count < 120
    np.testing.assert_allclose(found.point, target, atol=1e-10)

    def objective(flat):
        value, grad, _ = bowl(flat.reshape(5, 6), data)
        return float(value), np.asarray(grad).ravel()

    peer = scipy.optimize.minimize(
        objective, np.zeros(30), jac=True, method="L-BFGS-B", options={"gtol": 1e-4, "maxcor": 20}
    )
    half = minimum(jnp.float64, tolerance=1e-4)[0]
    assert half.count <= 1.5 * peer.nit, "as few iterations as another implementation, about"


def test_a_search_goes_on_in_another_precision_with_what_it_has_learnt():
    single, target, _ = minimum(jnp.float32, tolerance=1e-2)
    double, *_ = minimum(jnp.float64, tolerance=1e-9, old=single)
    cold, *_ = minimum(jnp.float64, tolerance=1e-9)
    assert single.count < double.count <= cold.count + 3
    begun = quasi_newton.begin(single.point, jnp.float32, old=single)
    np.testing.assert_array_equal(begun.moves, single.moves)
    assert begun.kept == single.kept == 20
    np.testing.assert_allclose(double.point, target, atol=1e-9)


def test_it_stops_at_the_limit_and_where_the_precision_ends():
    found, *_ = minimum(jnp.float64, tolerance=1e-10, limit=3)
    assert found.count == 3 and found.size > 1e-10
    search = quasi_newton.begin(np.ones((5, 6)), jnp.float32)
    data = jnp.ones((5, 6)), jnp.zeros((5, 6))
    found = quasi_newton.advance(uphill, search, data, tolerance=np.float32(0), limit=np.int32(9))
    assert found.stuck and found.count == 0
    np.testing.assert_array_equal(found.point, np.ones((5, 6)))
