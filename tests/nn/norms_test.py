"""Norms against float64 NumPy, and the learned scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.nn.norms import BatchNorm, LayerNorm, TrackedBatchNorm, UnitNorm, at_most


def reference(x, axes, eps):
    x = np.asarray(x, np.float64)
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)


@pytest.mark.parametrize("norm, axes", [(LayerNorm(eps=1e-3), (2,)), (BatchNorm(eps=1e-3), (0, 1))])
def test_formula(key, norm, axes):
    x = 3 * jax.random.normal(key, (4, 5, 16)) + 1
    params = norm.init(key, x)["params"]
    assert params["scale"].shape == params["bias"].shape == (16,)
    scale, bias = np.linspace(0.5, 2, 16), np.linspace(-1, 1, 16)
    params = {"scale": jnp.float32(scale), "bias": jnp.float32(bias)}
    want = reference(x, axes, 1e-3) * scale + bias
    np.testing.assert_allclose(norm.apply({"params": params}, x), want, rtol=1e-5, atol=1e-5)
    half = norm.clone(dtype=jnp.bfloat16).apply({"params": params}, x)
    assert half.dtype == jnp.bfloat16
    # float32 statistics, one rounding of the result (2^-8).
    np.testing.assert_allclose(np.float32(half), want, rtol=2**-7.9, atol=1e-5)


def test_two_passes_survive_a_large_mean(key):
    x = 4096 + jax.random.normal(key, (3, 512))
    y = LayerNorm(affine=False).apply({}, x)
    # x itself is rounded to 2^-11 here, and so is the error; E[x²] − E[x]² would be off by ~1.
    np.testing.assert_allclose(y, reference(x, (1,), 1e-6), atol=2e-3)


def test_gradient_by_finite_differences(key):
    x = jax.random.normal(key, (3, 4, 8))
    weights = jax.random.normal(jax.random.fold_in(key, 1), x.shape)
    step = np.asarray(jax.random.normal(jax.random.fold_in(key, 2), x.shape), np.float64)
    for norm, axes in ((LayerNorm(affine=False), (2,)), (BatchNorm(affine=False), (0, 1))):
        grad = jax.grad(lambda x, n=norm: (n.apply({}, x) * weights).sum())(x)
        after, before = (
            (reference(np.asarray(x) + t * step, axes, norm.eps) * np.asarray(weights)).sum()
            for t in (1e-5, -1e-5)
        )
        rise = (after - before) / 2e-5
        np.testing.assert_allclose((np.asarray(grad) * step).sum(), rise, rtol=1e-4)


@pytest.mark.parametrize("dtype, limit", [(jnp.float32, 2e-6), (jnp.bfloat16, 2**-7)])
@pytest.mark.parametrize("affine", [True, "scale"])
def test_the_gradient_by_hand_is_that_of_the_formula(key, affine, dtype, limit):
    x = 3 * jax.random.normal(key, (4, 5, 16)) + 1
    norm, plain = LayerNorm(affine=affine, dtype=dtype), LayerNorm(affine=False)
    params = {"scale": jnp.linspace(0.5, 2, 16), "bias": jnp.linspace(-1, 1, 16)}
    params = params if affine is True else {"scale": params["scale"]}
    g = jax.random.normal(jax.random.fold_in(key, 1), x.shape)

    def formula(p, x):
        y = plain.apply({}, x) * p["scale"][None, None]
        return y + p["bias"][None, None] if "bias" in p else y

    want, pull = jax.vjp(formula, params, x)
    got, mine = jax.vjp(lambda p, x: norm.apply({"params": p}, x), params, x)
    trees = (got, mine(g.astype(dtype))), (want, pull(g))
    for a, b in zip(*(jax.tree.leaves(tree) for tree in trees), strict=True):
        assert np.linalg.norm(np.float64(a) - np.float64(b)) <= limit * np.linalg.norm(b)
    # Kept: x, two numbers for every token, and the parameters; no x that is normalised.
    held = jax.eval_shape(lambda *a: jax.vjp(lambda p, x: norm.apply({"params": p}, x), *a)[1],
                          params, x)  # fmt: skip
    assert sum(leaf.size for leaf in jax.tree.leaves(held)) <= x.size + 2 * 20 + 2 * 16


def test_batch_norm_is_global_over_devices(key):
    x = jax.random.normal(key, (16, 3, 8)) * jnp.arange(1.0, 17)[:, None, None]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    norm = jax.jit(lambda x: BatchNorm(affine=False).apply({}, x))
    sharded = norm(jax.device_put(x, NamedSharding(mesh, P("data"))))
    np.testing.assert_allclose(sharded, norm(x), rtol=1e-5, atol=1e-6)


TRACKED = {
    "scale": jnp.array([0.5, 2.0, -1.0]),
    "bias": jnp.array([1.0, 0.0, -2.0]),
    "mean": jnp.array([3.0, -1.0, 0.5]),
    "var": jnp.array([0.2, 4.0, 1.0]),
}


def moved(params, grad):
    """The running statistics one step of 1 later."""
    return {name: params[name] - grad[name] for name in ("mean", "var")}


def after(x, params, momentum=0.9):
    """What PyTorch would remember."""
    x = np.float64(x).reshape(-1, x.shape[-1])
    found = {"mean": x.mean(0), "var": x.var(0, ddof=1)}
    return {n: momentum * np.float64(params[n]) + (1 - momentum) * b for n, b in found.items()}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_tracked_formula_of_both_statistics(key, dtype):
    x = 3 * jax.random.normal(key, (4, 5, 6, 3)) + 1
    norm = TrackedBatchNorm(eps=1e-3, dtype=dtype)
    by_batch = reference(x, (0, 1, 2), 1e-3)
    p = {name: np.float64(leaf) for name, leaf in TRACKED.items()}
    by_memory = (np.float64(x) - p["mean"]) / np.sqrt(p["var"] + 1e-3)
    for y, batch_stats in ((by_batch, True), (by_memory, False)):
        want = y * p["scale"] + p["bias"]
        got = norm.apply({"params": TRACKED}, x, batch_stats)
        assert got.dtype == dtype
        # float32 inside whatever `dtype`: one rounding of the result (2^-8).
        rtol = 1e-5 if dtype == jnp.float32 else 2**-7.9
        np.testing.assert_allclose(np.float32(got), want, rtol=rtol, atol=1e-5)


def test_tracked_starts_as_the_standard_normal(key):
    x = jnp.zeros((2, 3))
    for zero in (True, False):
        params = TrackedBatchNorm(zero_scale=zero).init(key, x, False)["params"]
        want = {"scale": 0.0 if zero else 1.0, "bias": 0.0, "mean": 0.0, "var": 1.0}
        assert {name: set(np.asarray(leaf)) for name, leaf in params.items()} == {
            name: {value} for name, value in want.items()
        }


# The loss is a sum, its mean, a millionth, nothing at all, and the other way round.
@pytest.mark.parametrize("loss", [1.0, 1e-2, 1e-6, 0.0, -1e3])
def test_running_statistics_move_as_in_pytorch_whatever_the_loss(key, loss):
    x = 3 * jax.random.normal(key, (4, 5, 3)) + 1
    norm = TrackedBatchNorm()

    @jax.jit
    def grad(params):
        return jax.grad(lambda p: loss * jnp.sin(norm.apply({"params": p}, x, True)).sum())(params)

    for name, want in after(x, TRACKED).items():
        np.testing.assert_allclose(moved(TRACKED, grad(TRACKED))[name], want, rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.9, 0.99, 1.0])
def test_running_statistics_after_several_steps(key, momentum):
    norm = TrackedBatchNorm(momentum=momentum)
    grad = jax.jit(jax.grad(lambda p, x: norm.apply({"params": p}, x, True).sum()))
    params, want = TRACKED, {name: TRACKED[name] for name in ("mean", "var")}
    for step in range(5):
        x = (step + 1) * jax.random.normal(jax.random.fold_in(key, step), (4, 5, 3)) + step
        params = params | moved(params, grad(params, x))
        want = after(x, want, momentum)
    for name in want:
        np.testing.assert_allclose(params[name], want[name], rtol=1e-5)
    if momentum == 1.0:
        assert all((params[name] == TRACKED[name]).all() for name in want)


def test_running_statistics_of_three_passes_of_a_step_follow_each_other_as_in_pytorch(key):
    passes = [
        (k + 1) * jax.random.normal(jax.random.fold_in(key, k), (4 + k, 3)) + k for k in range(3)
    ]
    norm = TrackedBatchNorm(momentum=0.8)

    def apply(p):
        return sum(
            (k + 1) * norm.apply({"params": p}, x, 3 - k).sum() for k, x in enumerate(passes)
        )

    want = {name: TRACKED[name] for name in ("mean", "var")}
    for x in passes:
        want = after(x, want, 0.8)
    for name, got in moved(TRACKED, jax.grad(apply)(TRACKED)).items():
        np.testing.assert_allclose(got, want[name], rtol=1e-5)


def test_running_statistics_have_no_gradient_where_they_normalise(key):
    x = jax.random.normal(key, (4, 3))
    norm = TrackedBatchNorm()
    run = lambda p, x: jnp.sin(norm.apply({"params": p}, x, False)).sum()  # noqa: E731
    grad, at_input = jax.grad(run, argnums=(0, 1))(TRACKED, x)
    assert not grad["mean"].any() and not grad["var"].any()
    assert grad["scale"].all() and grad["bias"].all()
    # By hand: d sin(y)/dx = cos(y) · scale / √(var + eps).
    y = norm.apply({"params": TRACKED}, x, False)
    want = jnp.cos(y) * (TRACKED["scale"] / jnp.sqrt(TRACKED["var"] + 1e-5))[None]
    np.testing.assert_allclose(at_input, want, rtol=1e-5)


def test_keeping_statistics_leaves_the_other_gradients_alone(key):
    x = jax.random.normal(key, (4, 5, 3))
    affine = {name: TRACKED[name] for name in ("scale", "bias")}
    tracked, plain = TrackedBatchNorm(), BatchNorm(eps=1e-5)
    run = lambda p, x: jnp.sin(tracked.apply({"params": p}, x, True)).sum()  # noqa: E731
    bare = lambda p, x: jnp.sin(plain.apply({"params": p}, x)).sum()  # noqa: E731
    got, want = (jax.grad(f, argnums=(0, 1))(p, x) for f, p in ((run, TRACKED), (bare, affine)))
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5, atol=1e-6)
    for name in affine:
        np.testing.assert_allclose(got[0][name], want[0][name], rtol=1e-5, atol=1e-6)


def test_running_statistics_move_in_every_layer_of_a_scan(key):
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return x + jnp.tanh(TrackedBatchNorm(name="norm")(x, True)), x

    how = dict(variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
    x = jax.random.normal(key, (8, 3))
    for body in (Layer, nn.remat(Layer)):
        module = nn.scan(body, **how)()
        params = module.init(key, x, None)["params"]
        _, inputs = module.apply({"params": params}, x, None)
        grad = jax.grad(lambda p, m=module: m.apply({"params": p}, x, None)[0].sum())(params)
        for i in range(3):
            layer, change = (jax.tree.map(lambda a, i=i: a[i], t["norm"]) for t in (params, grad))
            for name, want in after(inputs[i], layer).items():
                np.testing.assert_allclose(moved(layer, change)[name], want, rtol=1e-5, atol=1e-6)


def test_tracked_statistics_are_global_over_devices(key):
    x = jax.random.normal(key, (16, 5, 3)) * jnp.arange(1.0, 17)[:, None, None]
    norm = TrackedBatchNorm()

    @jax.jit
    def both(p, x):
        run = lambda p: norm.apply({"params": p}, x, True)  # noqa: E731
        return run(p), jax.grad(lambda p: jnp.sin(run(p)).mean())(p)

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    y, grad = both(TRACKED, jax.device_put(x, NamedSharding(mesh, P("data"))))
    alone = both(TRACKED, x)
    np.testing.assert_allclose(y, alone[0], rtol=1e-5, atol=1e-5)
    for name in grad:
        np.testing.assert_allclose(grad[name], alone[1][name], rtol=1e-4, atol=1e-6)
    for name, want in after(x, TRACKED).items():
        np.testing.assert_allclose(moved(TRACKED, grad)[name], want, rtol=1e-5)


def test_a_batch_of_one_value_is_finite():
    # PyTorch refuses it; here the variance of one value is 0.
    grad = jax.grad(lambda p: TrackedBatchNorm().apply({"params": p}, jnp.ones((1, 3)), True).sum())
    for leaf in grad(TRACKED).values():
        assert jnp.isfinite(leaf).all()
    np.testing.assert_allclose(moved(TRACKED, grad(TRACKED))["var"], 0.9 * TRACKED["var"])


def test_unit_norm_and_its_scale(key):
    x = jax.random.normal(key, (4, 8)).at[0].set(0.0)
    y = UnitNorm().apply({}, x)
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=-1), [0, 1, 1, 1], rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: UnitNorm().apply({}, x).sum())(x)).all()
    scaled = UnitNorm(scaled=True)
    params = scaled.init(key, x)["params"]
    np.testing.assert_allclose(scaled.apply({"params": params}, x), y / 0.07, rtol=1e-5)
    nine = {"params": {"logit_scale": jnp.float32(9.0)}}
    np.testing.assert_allclose(scaled.apply(nine, x), 100 * y, rtol=1e-5)
    free = UnitNorm(scaled=True, limit=None)  # SigLIP's
    np.testing.assert_allclose(free.apply(nine, x), np.exp(9.0) * y, rtol=1e-5)


def test_a_scale_beyond_its_limit_comes_back():
    up, down = (jax.grad(lambda s, c=c: c * at_most(s, 1.0)) for c in (-1.0, 1.0))
    # Descent would raise s: held. Descent would lower s: passes. At the limit both pass.
    assert (up(2.0), down(2.0)) == (0.0, 1.0)
    assert (up(1.0), down(1.0)) == (-1.0, 1.0)
    assert (up(0.5), down(0.5)) == (-1.0, 1.0)
    assert (at_most(jnp.float32(2.0), 1.0), at_most(jnp.float32(0.5), 1.0)) == (1.0, 0.5)
