"""The form of DCNv3 for TPUs against loops in float64, and that it is theirs alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn import deformable, deformable_products
from m3i_jax.nn.deformable import dcnv3, gathered
from m3i_jax.training.planning import flops
from tests.nn.deformable_test import PLAIN, assert_close, draw, loops


def by_products(window, *arrays):
    *given, g = arrays
    y = deformable_products.forward(window, *given)
    return y, *deformable_products.backward(window, *given, g)


@pytest.mark.parametrize(
    "grid, out, how",
    [
        ((5, 4), (5, 4), dict(offset_scale=2.0)),
        ((7, 5), (4, 3), dict(kernel=5, padding=2, stride=2)),
        ((4, 4), (5, 5), dict(kernel=2, offset_scale=0.5)),
        ((6, 5), (6, 5), dict(padding=2, dilation=2)),
    ],
)
def test_result_and_gradients_in_float64(grid, out, how):
    arrays, how = draw(grid, out, points=how.get("kernel", 3) ** 2), PLAIN | how
    run = jax.jit(functools.partial(by_products, deformable.Window(**how)))
    assert_close(run(*arrays), loops(*arrays, **how))


def test_in_parts_of_images_and_groups(monkeypatch):
    """Three matrices at a time, of four and of the six that are left over."""
    monkeypatch.setattr(deformable_products, "AT_ONCE", 3 * 20 * 20)
    arrays = draw((5, 4), (5, 4), batch=5)
    run = jax.jit(functools.partial(by_products, deformable.Window(**PLAIN)))
    assert "while" in run.lower(*arrays).as_text()
    assert_close(run(*arrays), loops(*arrays, **PLAIN))


def test_places_on_borders_and_outside():
    values, _, masks, g = draw((4, 5), (4, 5))
    rng = np.random.default_rng(2)
    whole = np.float32(rng.integers(-7, 8, (*masks.shape, 2)))
    run = jax.jit(functools.partial(by_products, deformable.Window(**PLAIN)))
    assert_close(run(values, whole, masks, g), loops(values, whole, masks, g, **PLAIN))
    far = np.where(rng.random(whole.shape) < 0.5, 1e4, -3e9).astype(np.float32)
    assert not any(np.asarray(x).any() for x in run(values, far, masks, g))


def test_in_bfloat16_like_by_gathers():
    """Weights are rounded to eight bits here, once more than there; sums are float32 in both."""
    values, offsets, masks, g = draw((6, 6), (6, 6))
    values, g = (jnp.asarray(x, jnp.bfloat16) for x in (values, g))

    def gathers(*given):
        y, pull = jax.vjp(dcnv3, *given[:3])
        return y, *pull(given[3])

    got = jax.jit(functools.partial(by_products, deformable.Window(**PLAIN)))
    got, want = (jax.jit(fn)(values, offsets, masks, g) for fn in (got, gathers))
    for x, y in zip(got, want, strict=True):
        assert x.dtype == y.dtype and x.shape == y.shape
        x, y = (np.float32(one) for one in (x, y))
        assert np.linalg.norm(x - y) < 2**-8 * np.linalg.norm(y)


def test_places_that_are_said_one_by_one():
    values, _, _, _ = draw((4, 5), (1, 1))
    rng = np.random.default_rng(3)
    places = np.float32(rng.uniform(-1, 5, (2, 7, 2, 3, 2)))
    weights = np.float32(rng.normal(size=(2, 7, 2, 3)))
    run = functools.partial(deformable_products.forward, deformable.Anywhere(3))
    got = run(values, places[:, :, None], weights[:, :, None])[:, :, 0]
    np.testing.assert_allclose(got, gathered(values, places, weights), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("side, small", [(8, True), (65, False)])
def test_tpus_take_products_of_small_maps(side, small):
    """64 x 64 cells, at as many places, are the largest."""
    shape = jax.ShapeDtypeStruct
    grid, points = (1, side, side), (1, side, side, 1, 9)
    arrays = shape((*grid, 4), jnp.float32), shape((*points, 2), jnp.float32)
    arrays = *arrays, shape(points, jnp.float32)

    def grads(*given):
        return jax.grad(lambda *given: dcnv3(*given).sum(), argnums=(0, 1, 2))(*given)

    traced = jax.jit(grads).trace(*arrays)
    text = traced.lower(lowering_platforms=("tpu",)).as_text()
    assert ("stablehlo.dot_general" in text) == small
    assert ('"stablehlo.gather"' in text) == ('"stablehlo.scatter"' in text) == (not small)
    assert "stablehlo.dot_general" not in traced.lower(lowering_platforms=("cuda",)).as_text()
    assert flops.count(grads, *arrays) == 0  # in place of sums of rows, which count nothing
    assert deformable_products.fits((64, 64), (64, 64))
