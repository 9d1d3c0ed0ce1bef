"""Blocks that attend in windows: cells one by one in float64, and that loops change nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from m3i_jax.nn.norms import LayerNorm
from m3i_jax.nn.rotary import rotation
from m3i_jax.nn.windowed import Layout, windowed_stack

GRID, HEADS, WIDTH, DEPTH = (3, 5), 2, 8, 4


class Stacked(nn.Module):
    """windowed_stack as a module."""

    layout: Layout = Layout(GRID, GRID, 2, (2, 4), True)
    options: tuple = ()

    @nn.compact
    def __call__(self, x, train=False):
        options = dict(depth=DEPTH, heads=HEADS, train=train) | dict(self.options)
        return windowed_stack(self, x, self.layout, **options)


def stacked(layout=Stacked.layout, **options):
    return Stacked(layout, tuple(options.items()))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(2, 15, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def params(x):
    shapes = jax.eval_shape(stacked().init, jax.random.key(0), x)["params"]
    draw = np.random.default_rng(0).normal
    return jax.tree.map(lambda s: draw(0.1, 0.5, s.shape).astype(np.float32), shapes)


def attention_(p, codes, x, size):
    """Of every cell by itself, in float64; cells outside the map are zeros in front of `qkv`."""
    (h, w), dim = GRID, WIDTH // HEADS
    x = x.reshape(h, w, WIDTH)
    out = np.zeros((h, w, WIDTH))
    qkv = lambda r, c: (  # noqa: E731
        (x[r, c] if r < h and c < w else np.zeros(WIDTH)) @ p["qkv"]["kernel"] + p["qkv"]["bias"]
    ).reshape(3, HEADS, dim)
    for r in range(h):
        for c in range(w):
            top, left = r // size[0] * size[0], c // size[1] * size[1]
            others = [(top + i, left + j) for i in range(size[0]) for j in range(size[1])]
            q = qkv(r, c)[0]
            for head in range(HEADS):
                scores = []
                for s, d in others:
                    score = q[head] @ qkv(s, d)[1][head] / np.sqrt(dim)
                    score += q[head] @ codes["rows"][r - s + size[0] - 1]
                    score += q[head] @ codes["columns"][c - d + size[1] - 1]
                    scores.append(score)
                weights = np.exp(scores) / np.exp(scores).sum()
                value = sum(a * qkv(*o)[2][head] for a, o in zip(weights, others, strict=True))
                out[r, c, head * dim : (head + 1) * dim] = value
    return out.reshape(h * w, WIDTH) @ p["proj"]["kernel"] + p["proj"]["bias"]


def block_(p, codes, x, size):
    def norm(p, x):
        y = x - x.mean(-1, keepdims=True)
        return y / np.sqrt((y**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]

    x = x + attention_(p["attn"], codes, norm(p["norm1"], x), size)
    h = norm(p["norm2"], x) @ p["mlp"]["fc1"]["kernel"] + p["mlp"]["fc1"]["bias"]
    erf = np.float64(jax.scipy.special.erf(h / np.sqrt(2)))
    return x + (h * (1 + erf) / 2) @ p["mlp"]["fc2"]["kernel"] + p["mlp"]["fc2"]["bias"]


def test_every_block_cell_by_cell(x, params):
    got, (layers, weights) = jax.jit(
        lambda p: stacked(keep_layers=True, keep_attention=True).apply({"params": p}, x)
    )(params)
    p = jax.tree.map(np.float64, params)
    want = np.float64(x)
    for i in range(DEPTH):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], p["blocks"])
        codes = p[f"blocks_{i}"]["relative_position"]
        size = GRID if i in (1, 3) else (2, 2)
        assert codes["rows"].shape == (2 * size[0] - 1, WIDTH // HEADS)
        assert codes["columns"].shape == (2 * size[1] - 1, WIDTH // HEADS)
        want = np.stack([block_(own, codes, one, size) for one in want])
        # float32 of numbers up to 50 and erf of float32.
        np.testing.assert_allclose(layers[i], want, rtol=2e-5, atol=1e-4)
    np.testing.assert_array_equal(got, layers[-1])
    shapes = [x.shape for x in weights]
    assert shapes == 2 * [(2, 6, HEADS, 4, 4), (2, HEADS, 15, 15)]
    for one in weights:
        np.testing.assert_allclose(one.sum(-1), 1, rtol=1e-5)


def test_codes_start_at_zero_and_blocks_as_others_do(x):
    start = jax.jit(stacked().init)(jax.random.key(0), x)["params"]
    codes = [start[f"blocks_{i}"] for i in range(DEPTH)]
    assert not any(leaf.any() for leaf in jax.tree.leaves(codes))
    kernel = start["blocks"]["mlp"]["fc1"]["kernel"]
    assert kernel.shape == (DEPTH, WIDTH, 4 * WIDTH)
    limit = np.sqrt(6 / (5 * WIDTH))  # Xavier-uniform
    assert 0.8 * limit < np.abs(kernel).max() < limit
    assert np.abs(kernel[0] - kernel[1]).max() > 0.1, "every block is drawn by itself"


def graded(module, x):
    def loss(p):
        return jnp.sin(module.apply({"params": p}, x)[0]).sum()

    return jax.jit(jax.value_and_grad(loss))


@pytest.fixture(scope="module")
def plain(x, params):
    return graded(stacked(), x)(params)


@pytest.mark.parametrize(
    "options",
    [
        dict(remat="full", attention="recompute"),
        dict(remat="dots", scan=False, attention="keep"),
    ],
    ids=str,
)
def test_how_blocks_are_compiled_changes_nothing(x, params, plain, by_norm, options):
    by_norm(graded(stacked(**options), x)(params), plain, 2e-5)


def test_kernels_do_not_drop_the_codes(x, params):
    """None knows of them: where one is asked for, XLA computes the core."""
    one, two = (
        jax.jit(stacked(attention=core).apply)({"params": params}, x)[0]
        for core in ("splash", "recompute")
    )
    np.testing.assert_array_equal(one, two)


def test_codes_get_their_gradients(params, plain):
    _, grad = plain
    for i in range(DEPTH):
        for leaf in jax.tree.leaves(grad[f"blocks_{i}"]):
            assert np.abs(leaf).max() > 0


@pytest.mark.parametrize("everywhere", [(1,), (2, 3)])
def test_any_order_of_blocks(x, params, everywhere):
    """Runs, repeated or not, are the loop over all blocks; without codes the map needs no cut."""
    layout = Layout(GRID, GRID, 2, everywhere, False)
    p = {"blocks": params["blocks"]}
    one, two = (
        jax.jit(lambda p, m=stacked(layout, scan=scan, keep_layers=True): m.apply({"params": p}, x))
        for scan in (True, False)
    )
    (got, (layers, _)), (want, (others, _)) = one(p), two(p)
    np.testing.assert_allclose(layers, others, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_paths_and_weights_are_dropped_by_their_keys(x, params):
    module = stacked(drop_path=0.4, attention_dropout=0.2)
    run = jax.jit(
        lambda k: module.apply({"params": params}, x, train=True, rngs={"droppath": k})[0]
    )
    one, again, other = (run(jax.random.key(i)) for i in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 1e-2
    assert np.abs(one - jax.jit(module.apply)({"params": params}, x)[0]).max() > 1e-2


def test_bfloat16_stays_close(x, params):
    exact = jax.jit(stacked().apply)({"params": params}, x)[0]
    half = jax.jit(stacked(dtype=jnp.bfloat16).apply)({"params": params}, x)[0]
    assert half.dtype == jnp.float32
    error = np.linalg.norm(half - exact) / np.linalg.norm(exact)
    assert 1e-4 < error < 0.05, error


def test_the_rest_of_attention_is_as_without_windows(x, params):
    """One window, the whole map: norms of queries and keys, rotations, a bias of two of three."""
    turned = rotation(np.random.default_rng(3).normal(size=(1, 15, WIDTH // HEADS // 2)))
    options = dict(qk_norm=LayerNorm, qkv_bias="qv", rotation=turned)
    cut, whole = (stacked(Layout(GRID, GRID, 0, (), codes), **options) for codes in (True, False))
    p = jax.jit(cut.init)(jax.random.key(0), x)["params"]  # codes are 0
    got = jax.jit(cut.apply)({"params": p}, x)[0]
    want = jax.jit(whole.apply)({"params": {"blocks": p["blocks"]}}, x)[0]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
