"""What every loss is held to: a float64 formula, finite differences, eight devices, no NaN."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

WEIGHTS = np.random.default_rng(7).normal(size=4096)


def weighted(value):
    """A scalar in which no two errors cancel."""
    return (value * WEIGHTS[: value.size].reshape(value.shape)).sum()


def learned(args):
    return [i for i, a in enumerate(args) if a.dtype == np.float64]


def as_float32(args):
    """What the formula gets in float64; inputs are float32 numbers, so nothing is rounded here."""
    return tuple(jnp.asarray(a, jnp.float32) if a.dtype == np.float64 else a for a in args)


def value(fn, reference, args, options, *, rtol=1e-6, atol=1e-6):
    """Equal to the formula; atol is what float32 leaves of differences of logits."""
    got = jax.jit(lambda *a: fn(*a, **options))(*as_float32(args))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, reference(*args, **options), rtol=rtol, atol=atol)


def gradient(fn, reference, args, options, *, stopped=(), rtol=2e-5, atol=2e-5):
    """Equal to central differences of the formula, which are good to 1e-8; 0 where stopped."""
    places = learned(args)
    grads = jax.jit(jax.grad(lambda *a: weighted(fn(*a, **options)), argnums=places))
    for i, got in zip(places, grads(*as_float32(args)), strict=True):
        wanted, step = np.zeros(args[i].shape), 1e-6
        for place in np.ndindex(args[i].shape if i not in stopped else ()):
            ends = []
            for sign in (1, -1):
                moved = list(args)
                moved[i] = args[i].copy()
                moved[i][place] += sign * step
                ends.append(weighted(reference(*moved, **options)))
            wanted[place] = (ends[0] - ends[1]) / (2 * step) if i not in stopped else 0
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=0 if i in stopped else atol)


def devices(fn, args, options):
    """Value and gradients on eight devices, rows spread, equal to those on one."""
    places, args = learned(args), as_float32(args)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    spread = [jax.device_put(a, rows) if a.shape[0] % 8 == 0 else a for a in args]
    assert any(not a.sharding.is_fully_replicated for a in spread if isinstance(a, jax.Array))
    step = jax.jit(jax.value_and_grad(lambda *a: weighted(fn(*a, **options)), argnums=places))
    (one, one_grads), (many, many_grads) = step(*args), step(*spread)
    np.testing.assert_allclose(many, one, rtol=2e-6, atol=2e-6)
    for a, b in zip(many_grads, one_grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def finite(fn, args, options):
    """Value and gradients of zeros, constants, equal arguments and a single row."""
    places, args = learned(args), as_float32(args)
    step = jax.jit(jax.value_and_grad(lambda *a: fn(*a, **options).sum(), argnums=places))
    first = args[places[0]]
    fills = {"zero": jnp.zeros_like, "constant": jnp.ones_like}
    fills["equal"] = lambda a: first if a.shape == first.shape else a
    for name, fill in fills.items():
        value, grads = step(*(fill(a) if i in places else a for i, a in enumerate(args)))
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads), name
    one = (jnp.zeros_like(a[:1]) if a.dtype == np.int32 else a[:1] for a in args)
    value, grads = step(*one)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads), "one row"


@pytest.fixture
def check():
    return types.SimpleNamespace(value=value, gradient=gradient, devices=devices, finite=finite)
