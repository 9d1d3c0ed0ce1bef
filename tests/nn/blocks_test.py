"""Blocks against their equations, and the stack's promise: scan and remat change nothing."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.nn import activations, blocks
from m3i_jax.nn.norms import BatchNorm, LayerNorm


class Stacked(nn.Module):
    """The stack as a module of its own."""

    fields: dict

    @nn.compact
    def __call__(self, x, mask=None, train=False, bias=None, context=None):
        given = dict(mask=mask, bias=bias, context=context)
        return blocks.stack(x, train=train, **given, **self.fields)


def made(key, x, **fields):
    """The stack, and parameters drawn without any zeros or ones."""
    module = Stacked({"heads": 2, **fields})
    shapes = jax.eval_shape(module.init, key, x)["params"]
    draw = np.random.default_rng(0).normal
    return module, jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)


def applied(module, params, *inputs, **rngs):
    return jax.jit(lambda p: module.apply({"params": p}, *inputs, **rngs))(params)


def norm_(p, x, eps=1e-6, axes=(-1,)):
    centred = x - x.mean(axes, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)
    return y * p["scale"] + p["bias"]


def linear_(p, x):
    return x @ p["kernel"] + p["bias"]


def attention_(p, x, heads, mask=True, bias=0.0, context=None):
    (b, n, d), dim = x.shape, x.shape[-1] // heads
    given = x if context is None else np.concatenate([context, x], axis=1)
    q, k, v = (
        linear_(p["qkv"], given)[..., i * d : (i + 1) * d].reshape(b, -1, heads, dim)
        for i in range(3)
    )
    s = np.einsum("bqhd,bkhd->bhqk", q[:, -n:], k) / np.sqrt(dim) + bias
    s = np.where(mask, s, -np.inf)
    w = np.exp(s - s.max(-1, keepdims=True))
    w = w / w.sum(-1, keepdims=True)
    return linear_(p["proj"], np.einsum("bhqk,bkhd->bqhd", w, v).reshape(b, n, d)), w


def mlp_(p, x, act):
    return linear_(p["fc2"], act(linear_(p["fc1"], x)))


def gelu_(x):
    return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2


def quick_(x):
    return x / (1 + np.exp(-1.702 * x))


def float64(tree):
    return jax.tree.map(lambda p: np.asarray(p, np.float64), tree)


def layer_(params, i):
    return jax.tree.map(lambda p: p[i], float64(params["blocks"]))


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


def test_attention_dropout_drops_single_weights_and_keeps_their_mean(key):
    """With W_v = W_proj = 1 and unit vectors for tokens, the result is the weights in use."""
    x, eye, zeros = jnp.tile(jnp.eye(6)[None], (700, 1, 1)), jnp.eye(6), jnp.zeros((6, 6))
    scores = 0.7 * jax.random.normal(key, (6, 6))
    params = {"qkv": {"kernel": jnp.concatenate([scores, eye, eye], 1), "bias": jnp.zeros(18)},
              "proj": {"kernel": eye, "bias": zeros[0]}}  # fmt: skip
    module = blocks.Attention(1, dropout=0.4, report=True)
    y, weights = module.apply({"params": params}, x, blocks.Shared(), rngs={"droppath": key})
    y, weights = np.asarray(y), np.asarray(weights)[:, 0]
    s = np.float64(scores) / np.sqrt(6)
    want = np.exp(s) / np.exp(s).sum(-1, keepdims=True)
    # What is reported is not dropped; what is used is 0 or the weight over 1 - 0.4.
    np.testing.assert_allclose(weights, np.broadcast_to(want, weights.shape), rtol=1e-5)
    kept = y != 0
    np.testing.assert_allclose(y, kept * want / 0.6, rtol=1e-5)
    # 25 200 draws: deviation sqrt(.4 * .6 / 25200) = 0.003; each weight by itself, 0.019.
    assert abs(kept.mean() - 0.6) < 4 * 0.003
    assert np.abs(kept.mean(0) - 0.6).max() < 4 * 0.019


def test_no_attention_dropout_outside_training(key):
    x = jax.random.normal(key, (4, 5, 8))
    module, params = made(key, x, depth=2, attention_dropout=0.5)
    still, _ = applied(module, params, x)
    never, _ = applied(Stacked({"heads": 2, "depth": 2}), params, x)
    np.testing.assert_array_equal(still, never)
    moved, _ = applied(module, params, x, None, True, rngs={"droppath": key})
    assert not np.allclose(moved, still)


@pytest.mark.parametrize("how", [{}, {"scan": False}, {"remat": "full"}])
def test_beit_starts_small_and_smaller_with_depth(key, how):
    """Normal of deviation .02 cut off at ±1σ; proj and fc2 of block l over √(2l)."""
    x = jax.random.normal(key, (1, 3, 64))
    module = Stacked({"heads": 2, "depth": 4, "kernel_init": blocks.INITS["beit"], **how})
    params = float64(jax.jit(module.init)(key, x)["params"]["blocks"])
    # Deviation of a standard normal cut off at ±1: √(1 − 2φ(1)/(2Φ(1) − 1)).
    cut = math.sqrt(1 - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi) / math.erf(1 / math.sqrt(2)))
    for part, name, shrinks in (
        ("attn", "qkv", False), ("attn", "proj", True), ("mlp", "fc1", False), ("mlp", "fc2", True),
    ):  # fmt: skip
        kernel = params[part][name]["kernel"]
        assert not params[part][name]["bias"].any()
        for l, block in enumerate(kernel, start=1):
            sigma = 0.02 / math.sqrt(2 * l) if shrinks else 0.02
            assert np.abs(block).max() <= sigma * (1 + 1e-6)
            # The deviation of the smallest kernel, 4096 values, is known to 1 % at 2 σ.
            np.testing.assert_allclose(block.std(), cut * sigma, rtol=0.02)
        shapes = kernel[0] / np.abs(kernel[0]).max(), kernel[1] / np.abs(kernel[1]).max()
        assert not np.allclose(*shapes)  # every block has draws of its own


@pytest.mark.parametrize("name, shrinks", [("vq_kd", True), ("deit", False)])
def test_vq_kd_and_deit_start_as_a_whole_normal(key, name, shrinks):
    """timm's trunc_normal_(std=.02) cuts at ±2, hence nothing; VQ-KD divides as BEiT does."""
    module = Stacked({"heads": 2, "depth": 4, "kernel_init": blocks.INITS[name]})
    params = jax.jit(module.init)(key, jax.random.normal(key, (1, 3, 64)))["params"]["blocks"]
    for kernel, divided in ((params["attn"]["qkv"], False), (params["mlp"]["fc2"], shrinks)):
        for l, block in enumerate(np.float64(kernel["kernel"]), start=1):
            sigma = 0.02 / math.sqrt(2 * l) if divided else 0.02
            np.testing.assert_allclose(block.std(), sigma, rtol=0.03)  # 12 288 values or more
            assert np.abs(block).max() > 3 * sigma


def test_softmax_gradient_and_dtype(key):
    s, g = jax.random.normal(key, (2, 4, 6))
    want, pull = jax.vjp(jax.nn.softmax, s)
    got, mine = jax.vjp(lambda s: blocks.softmax(s, jnp.float32), s)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(mine(g)[0], pull(g)[0], rtol=1e-5, atol=1e-7)
    assert blocks.softmax(s, jnp.bfloat16).dtype == jnp.bfloat16


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
