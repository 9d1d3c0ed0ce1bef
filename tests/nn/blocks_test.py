"""Blocks against their equations, and the stack's promise: scan and remat change nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.nn import activations, blocks
from m3i_jax.nn.norms import BatchNorm, LayerNorm
from tests.nn.stacked import (
    Stacked,
    applied,
    attention_,
    gelu_,
    layer_,
    made,
    mlp_,
    norm_,
    quick_,
)


def test_pre_norm_block_with_layer_scale(key):
    x = jax.random.normal(key, (3, 5, 8))
    module, params = made(key, x, depth=2, layer_scale=0.3, keep_layers=True, keep_attention=True)
    got, (layers, weights) = applied(module, params, x)
    y = np.asarray(x, np.float64)
    for i in range(2):
        p = layer_(params, i)
        branch, w = attention_(p["attn"], norm_(p["norm1"], y), 2)
        y = y + p["ls1"]["gamma"] * branch
        y = y + p["ls2"]["gamma"] * mlp_(p["mlp"], norm_(p["norm2"], y), gelu_)
        np.testing.assert_allclose(layers[i], y, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(weights[i], w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)


def test_post_norm_causal_block_with_quick_gelu(key):
    x = jax.random.normal(key, (3, 5, 8))
    mask = np.tril(np.ones((5, 5), bool))[None, None]
    norm = functools.partial(LayerNorm, eps=1e-12)
    fields = dict(depth=1, post_norm=True, norm=norm, activation=activations.quick_gelu)
    module, params = made(key, x, **fields)
    p, y = layer_(params, 0), np.asarray(x, np.float64)
    y = norm_(p["norm1"], y + attention_(p["attn"], y, 2, mask)[0], 1e-12)
    y = norm_(p["norm2"], y + mlp_(p["mlp"], y, quick_), 1e-12)
    got, _ = applied(module, params, x, jnp.asarray(mask))
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)


def test_bias_on_the_scores_and_its_gradient(key):
    x, bias = jax.random.normal(key, (3, 5, 8)), jax.random.normal(key, (1, 2, 5, 5))
    module, params = made(key, x, depth=2)
    y = np.asarray(x, np.float64)
    for i in range(2):
        p = layer_(params, i)
        y = y + attention_(p["attn"], norm_(p["norm1"], y), 2, bias=np.float64(bias))[0]
        y = y + mlp_(p["mlp"], norm_(p["norm2"], y), gelu_)
    run = jax.jit(lambda bias: module.apply({"params": params}, x, None, False, bias)[0])
    np.testing.assert_allclose(run(bias), y, rtol=1e-5, atol=1e-5)
    grad = jax.jit(jax.grad(lambda bias: jnp.sin(run(bias)).sum()))(bias)
    step = 1e-2 * jnp.zeros_like(bias).at[0, 1, 2, 3].set(1.0)
    rise = (jnp.sin(run(bias + step)).sum() - jnp.sin(run(bias - step)).sum()) / 2e-2
    # Sums of 120 float32 numbers, differenced over 0.02.
    np.testing.assert_allclose(grad[0, 1, 2, 3], rise, rtol=2e-2, atol=2e-3)
    assert abs(grad[0, 1, 2, 3]) > 1e-2


def test_context_is_attended_to_and_never_changes(key):
    x, context = jax.random.normal(key, (3, 5, 8)), jax.random.normal(key, (3, 4, 8))
    module, params = made(key, x, depth=2, keep_attention=True)
    y = np.asarray(x, np.float64)
    for i in range(2):
        p = layer_(params, i)
        given = np.asarray(context, np.float64)
        y = y + attention_(p["attn"], norm_(p["norm1"], y), 2, context=given)[0]
        y = y + mlp_(p["mlp"], norm_(p["norm2"], y), gelu_)
    got, (_, weights) = applied(module, params, x, None, False, None, context)
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)
    assert weights.shape == (2, 3, 2, 5, 9)


def test_bias_on_queries_and_values_only(key):
    x = jax.random.normal(key, (3, 5, 8))
    module, params = made(key, x, depth=1, qkv_bias="qv")
    # By formula: 12 D^2 + 12 D in a block, D fewer than with a bias on the keys.
    assert trees.count(params) == 12 * 8**2 + 12 * 8
    p = layer_(params, 0)
    bias = np.concatenate([p["attn"]["q_bias"], np.zeros(8), p["attn"]["v_bias"]])
    p["attn"]["qkv"]["bias"] = bias
    y = np.asarray(x, np.float64)
    y = y + attention_(p["attn"], norm_(p["norm1"], y), 2)[0]
    y = y + mlp_(p["mlp"], norm_(p["norm2"], y), gelu_)
    np.testing.assert_allclose(applied(module, params, x)[0], y, rtol=1e-5, atol=1e-5)


def test_batch_norm_block(key):
    x = jax.random.normal(key, (3, 5, 8))
    module, params = made(key, x, depth=1, norm=BatchNorm)
    p, y = layer_(params, 0), np.asarray(x, np.float64)
    y = y + attention_(p["attn"], norm_(p["norm1"], y, 1e-5, (0, 1)), 2)[0]
    y = y + mlp_(p["mlp"], norm_(p["norm2"], y, 1e-5, (0, 1)), gelu_)
    np.testing.assert_allclose(applied(module, params, x)[0], y, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def plain():
    key = jax.random.key(0)
    x = jax.random.normal(key, (4, 5, 8))
    return x, *run(key, x)


def run(key, x, **options):
    module = Stacked({"heads": 2, "depth": 2, "drop_path": 0.4, **options})
    params = jax.jit(module.init)(key, x)["params"]

    def loss(p):
        y, _ = module.apply({"params": p}, x, None, True, rngs={"droppath": key})
        return jnp.sin(y).sum()

    return params, *jax.jit(jax.value_and_grad(loss))(params)


@pytest.mark.parametrize("scan", [True, False])
@pytest.mark.parametrize("remat", ["none", "dots", "full"])
def test_scan_and_remat_change_nothing(key, plain, scan, remat):
    x, *want = plain
    got = run(key, x, scan=scan, remat=remat)
    assert jax.tree.structure(got) == jax.tree.structure(tuple(want))
    # Parameters and drop-path draws are the same bits; sums are fused in other orders.
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(tuple(want)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert all(p.shape[0] == 2 for _, p in trees.named_leaves(got[0]["blocks"]))


def test_remat_recomputes_what_it_says(key):
    x = jax.random.normal(key, (4, 5, 8))

    def products(remat):
        module = Stacked({"heads": 2, "depth": 3, "remat": remat})
        params = jax.eval_shape(module.init, key, x)["params"]
        grad = jax.grad(lambda p: module.apply({"params": p}, x)[0].sum())
        return str(jax.make_jaxpr(grad)(params)).count("dot_general")

    # Forward 4 linear + 2 attention, backward twice that; then recomputed: the attention scores
    # (their use by the values is linear), or also every linear layer but the last.
    none, dots, full = (products(r) for r in ("none", "dots", "full"))
    assert none == 18
    assert none < dots <= none + 2 < full <= none + 6


def test_drop_path_keeps_the_mean_and_drops_samples(key):
    x = jnp.ones((4000, 3, 2))
    y = blocks.DropPath().apply({}, x, 0.25, rngs={"droppath": key})
    per_sample = np.asarray(y[:, 0, 0])
    np.testing.assert_array_equal(y, np.broadcast_to(per_sample[:, None, None], y.shape))
    assert set(np.unique(per_sample)) == {0.0, np.float32(1 / 0.75)}
    # The mean of 4000 draws has deviation sqrt(.25 / .75 / 4000) = 0.009.
    assert abs(per_sample.mean() - 1) < 4 * 0.009
    zero = blocks.DropPath().apply({}, x * 0.7, 0.0, rngs={"droppath": key})
    np.testing.assert_array_equal(zero, x * 0.7)


def test_drop_path_schedules(key):
    x = jax.random.normal(key, (600, 2, 8))

    def dropped(**options):
        module, params = made(key, x, depth=3, keep_layers=True, **options)
        _, (layers, _) = applied(module, params, x, None, True, rngs={"droppath": key})
        steps = jnp.diff(jnp.concatenate([x[None], layers]), axis=0)
        return np.asarray((jnp.abs(steps).max((2, 3)) == 0).mean(1))

    # A block passes a sample unchanged when both of its branches are dropped: rate squared,
    # within four deviations (0.02) of 600 draws; the first block of the linear schedule never.
    linear, uniform = dropped(drop_path=0.6), dropped(drop_path=0.6, schedule="uniform")
    np.testing.assert_allclose(linear, [0, 0.09, 0.36], atol=0.08)
    assert linear[0] == 0
    np.testing.assert_allclose(uniform, [0.36] * 3, atol=0.08)


def test_no_drop_path_outside_training(key):
    x = jax.random.normal(key, (4, 5, 8))
    module, params = made(key, x, depth=2, drop_path=0.5)
    still, _ = applied(module, params, x)
    never, _ = applied(Stacked({"heads": 2, "depth": 2}), params, x, None, True)
    np.testing.assert_array_equal(still, never)


def test_no_attention_dropout_outside_training(key):
    x = jax.random.normal(key, (4, 5, 8))
    module, params = made(key, x, depth=2, attention_dropout=0.5)
    still, _ = applied(module, params, x)
    never, _ = applied(Stacked({"heads": 2, "depth": 2}), params, x)
    np.testing.assert_array_equal(still, never)
    moved, _ = applied(module, params, x, None, True, rngs={"droppath": key})
    assert not np.allclose(moved, still)


def test_nothing_to_attend_to_is_finite(key):
    x = jax.random.normal(key, (2, 4, 8))
    module, params = made(key, x, depth=1)
    mask = jnp.zeros((2, 1, 1, 4), bool)
    loss = lambda p: module.apply({"params": p}, x, mask)[0].sum()  # noqa: E731
    value, grad = jax.jit(jax.value_and_grad(loss))(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, grad)))


def test_refusals():
    good = dict(width=8, heads=2, depth=1, dtype="float32", remat="none")
    blocks.check_blocks("x", **good)
    for wrong, words in (
        ({"heads": 3}, "width 8 is not divisible by 3 heads"),
        ({"depth": 0}, "depth is 0"),
        ({"drop_path": 1.0}, "drop_path is 1.0"),
        ({"attention_dropout": -0.1}, "attention_dropout is -0.1"),
        ({"dtype": "bflot16"}, "did you mean 'bfloat16'"),
        ({"remat": "dot"}, "did you mean 'dots'"),
        ({"schedule": "uniforms"}, "did you mean 'uniform'"),
        ({"qkv_bias": "kv"}, "did you mean 'qv'"),
    ):
        with pytest.raises(ConfigError, match=words):
            blocks.check_blocks("x", **(good | wrong))
