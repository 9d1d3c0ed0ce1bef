"""Regularisers against float64 formulas, finite differences, and on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from m3i_jax import losses

RNG = np.random.default_rng(1)
B, L, D = 16, 3, 5
FIRST, SECOND = RNG.normal(size=(2, B, L, D)) * 2 + 1


def cross_correlation(a, b, off_diagonal=5e-3, eps=1e-5):
    a, b = (x.reshape(-1, x.shape[-1]) for x in (a, b))
    a, b = ((x - x.mean(0)) / np.sqrt(x.var(0) + eps) for x in (a, b))
    loss = 0.0
    for d in range(a.shape[1]):
        for e in range(a.shape[1]):
            c = (a[:, d] * b[:, e]).mean()
            loss += (1 - c) ** 2 if d == e else off_diagonal * c**2
    return loss


def alignment(p, z):
    p, z = (x.reshape(-1, x.shape[-1]) for x in (p, z))
    # ẑᵀCẑ written out: the mean squared product with every target.
    return np.mean([[(a @ b) ** 2 for b in z] for a in p]) / p.shape[-1]


def unigrad(p, z, negative_weight):
    pos = ((p - z) ** 2).sum(-1).mean()
    return (pos + negative_weight * alignment(p, z) * p.shape[-1]) / p.shape[-1]


CASES = {
    "cross_correlation": (losses.cross_correlation, cross_correlation, {}, (0, 1)),
    "cross_correlation_heavy": (
        losses.cross_correlation,
        cross_correlation,
        {"off_diagonal": 0.7},
        (0, 1),
    ),
    "alignment": (losses.alignment, alignment, {}, (0,)),
    "unigrad": (losses.unigrad, unigrad, {"negative_weight": 0.02}, (0,)),
}


def float32(*args):
    return tuple(jnp.asarray(a, jnp.float32) for a in args)


@pytest.mark.parametrize("name", CASES)
def test_values_equal_the_formula(name):
    fn, reference, options, _ = CASES[name]
    value = fn(*float32(FIRST, SECOND), **options)
    assert value.dtype == np.float32 and value.shape == ()
    np.testing.assert_allclose(value, reference(FIRST, SECOND, **options), rtol=3e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_finite_differences_and_stop_at_targets(name):
    fn, reference, options, learning = CASES[name]
    args = [FIRST[:4], SECOND[:4]]
    grads = jax.jit(jax.grad(lambda *a: fn(*a, **options), argnums=(0, 1)))(*float32(*args))
    for i in range(2):
        if i not in learning:
            assert not grads[i].any()
            continue
        wanted, step = np.zeros(args[i].shape), 1e-6
        for place in np.ndindex(args[i].shape):
            ends = []
            for sign in (1, -1):
                moved = [a.copy() for a in args]
                moved[i][place] += sign * step
                ends.append(reference(*moved, **options))
            wanted[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(grads[i], wanted, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_eight_devices_equal_one(name):
    fn, _, options, _ = CASES[name]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    args = float32(FIRST, SECOND)
    spread = jax.device_put(args, NamedSharding(mesh, PartitionSpec("data")))
    step = jax.jit(jax.value_and_grad(lambda *a: fn(*a, **options), argnums=(0, 1)))
    (one, one_grads), (many, many_grads) = step(*args), step(*spread)
    np.testing.assert_allclose(many, one, rtol=2e-6)
    for a, b in zip(many_grads, one_grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("situation", ["zero", "constant", "one row"])
def test_gradients_are_finite_in_degenerate_situations(name, situation):
    fn, _, options, _ = CASES[name]
    made = {
        "zero": (jnp.zeros((4, D)), jnp.zeros((4, D))),
        "constant": (jnp.full((4, D), 3.0), jnp.full((4, D), 3.0)),
        "one row": float32(FIRST[0, :1], SECOND[0, :1]),
    }
    step = jax.jit(jax.value_and_grad(lambda *a: fn(*a, **options), argnums=(0, 1)))
    value, grads = step(*made[situation])
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)


def test_cross_correlation_of_equal_decorrelated_codes_is_zero():
    z, _ = np.linalg.qr(RNG.normal(size=(64, 6)))
    z = z - z.mean(0)
    z, _ = np.linalg.qr(z)  # orthogonal columns of mean 0 after centring
    value = losses.cross_correlation(z * 100, z * 100)  # large, so that eps does not show
    assert value < 1e-6
    collapsed = np.tile(z[:, :1], 6)
    np.testing.assert_allclose(
        losses.cross_correlation(collapsed * 100, collapsed * 100), 30 * 5e-3, rtol=1e-4
    )


def test_cross_correlation_ignores_shift_and_scale_of_each_dimension():
    one = losses.cross_correlation(FIRST, SECOND)
    two = losses.cross_correlation(FIRST * 7 + 3, SECOND * 0.5 - 2)
    np.testing.assert_allclose(two, one, rtol=1e-4)  # eps shows at 1e-5/variance


def test_alignment_grows_as_targets_collapse():
    spread = np.eye(D).repeat(4, 0) * np.sqrt(D)
    collapsed = np.ones((4 * D, D))
    p = RNG.normal(size=(4 * D, D))
    p = p * np.sign(p.sum(-1, keepdims=True)) + 1.0
    assert losses.alignment(p, collapsed) > 2 * losses.alignment(p, spread)
