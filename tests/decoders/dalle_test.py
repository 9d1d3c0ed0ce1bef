"""DALL-E's decoder: exact count, its equations in float64, tokens and shares, its protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from m3i_jax import decoders, encoders, geometry, networks, normalize, trees
from m3i_jax.build import ConfigError
from m3i_jax.decoders.dalle import TokenTable
from m3i_jax.types import Features

NAME = {"name": "dalle_decoder"}
SMALL = dict(vocabulary=12, embed=6, width=8, depths=(1, 2))


def tiny(**overrides):
    return decoders.create(NAME | SMALL | overrides)


def tokens(key, grid, count=2):
    return Features(target_index=jax.random.randint(key, (count, grid[0] * grid[1]), 0, 12))


def params_of(module, key, grid=(2, 3)):
    """Parameters whose branches outweigh the gain, and pixels that lie between 0 and 1."""
    params = jax.jit(lambda k: module.init(k, tokens(key, grid), grid=grid))(key)["params"]
    keys = iter(jax.random.split(key, len(jax.tree.leaves(params))))
    draw = lambda p: 2 * p + 0.1 * jax.random.normal(next(keys), p.shape)  # noqa: E731
    params = jax.tree.map(draw, params)
    return params | {"head": jax.tree.map(lambda p: 0.1 * p, params["head"])}


def apply(module, params, x, grid):
    return jax.jit(lambda p, x: module.apply({"params": p}, x, grid=grid))(params, x)


def test_published_size(key):
    module, grid = decoders.create(NAME), (14, 14)
    x = Features(target_index=jnp.zeros((1, 196), jnp.int32))
    shapes = jax.eval_shape(lambda k: module.init(k, x, grid=grid), key)["params"]
    assert trees.count(shapes) == 43_829_766
    out = jax.eval_shape(lambda p: module.apply({"params": p}, x, grid=grid), shapes)
    assert out.shape == (1, 196, 8 * 8 * 3) and out.dtype == jnp.float32
    assert (module.patch, module.out) == (8, 192)
    assert shapes["embed"]["kernel"].shape == (8192, 128)
    # 128 -> 2048 first, then half as wide after each doubling: every stage has a shortcut.
    into = [shapes[f"stages_{i}"]["blocks_0"]["shortcut"]["kernel"].shape[2:] for i in range(4)]
    assert into == [(128, 2048), (2048, 1024), (1024, 512), (512, 256)]


def conv_(p, x):
    size = p["kernel"].shape[0]
    x = np.pad(x, ((0, 0), *((size // 2,) * 2,) * 2, (0, 0)))
    windows = sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, p["kernel"]) + p["bias"]


def image_(p, hot, depths):
    """One-hot tokens (B, h, w, vocabulary) -> (B, H, W, 3), in float64."""
    x = hot @ p["embed"]["kernel"] + p["embed"]["bias"]
    for i, depth in enumerate(depths):
        x = np.kron(x, np.ones((1, 2, 2, 1))) if i else x
        for j in range(depth):
            b, y = p[f"stages_{i}"][f"blocks_{j}"], x
            for k in range(1, 5):
                assert b[f"conv{k}"]["kernel"].shape[0] == (1, 3, 3, 3)[k - 1]
                y = conv_(b[f"conv{k}"], np.maximum(y, 0))
            x = (conv_(b["shortcut"], x) if "shortcut" in b else x) + y / sum(depths) ** 2
    location = (np.maximum(x, 0) @ p["head"]["kernel"] + p["head"]["bias"])[..., :3]
    return np.clip((1 / (1 + np.exp(-location)) - 0.1) / 0.8, 0, 1)


def test_forward_in_float64(key):
    module, grid = tiny(), (2, 3)
    params, x = params_of(module, key), tokens(key, grid)
    hot = np.eye(12)[np.asarray(x.target_index)]
    p = jax.tree.map(np.float64, params)
    want = image_(p, hot.reshape(2, *grid, 12), (1, 2))
    assert 0.2 < (np.abs(want - 0.5) < 0.5).mean()  # not all of them are clipped
    got = apply(module, params, x, grid)
    assert got.shape == (2, 6, 2 * 2 * 3) and got.dtype == jnp.float32
    np.testing.assert_allclose(geometry.unpatchify(got, 2, grid), want, atol=1e-5)
    shares = jax.nn.softmax(jax.random.normal(key, hot.shape))
    want = image_(p, np.float64(shares).reshape(2, *grid, 12), (1, 2))
    got = apply(module, params, Features(tokens=shares), grid)
    np.testing.assert_allclose(geometry.unpatchify(got, 2, grid), want, atol=1e-5)


def test_a_word_is_its_row_and_a_share_its_part_of_it(key):
    table, x = TokenTable(12, 6), tokens(key, (2, 3))
    params = {"kernel": jax.random.normal(key, (12, 6)), "bias": jnp.arange(6.0)}
    rows = table.apply({"params": params}, x)
    want = params["kernel"][x.target_index] + params["bias"][None, None]
    np.testing.assert_array_equal(rows, want)
    # One-hot shares are tokens, and a choice counts before shares.
    shares = jax.nn.one_hot(x.target_index, 12)
    soft = table.apply({"params": params}, Features(tokens=shares))
    np.testing.assert_allclose(soft, want, rtol=1e-6)
    other = table.apply(
        {"params": params}, Features(tokens=shares, target_index=0 * x.target_index)
    )
    np.testing.assert_array_equal(other[1, 2], params["kernel"][0] + params["bias"])
    loss = lambda s: table.apply({"params": params}, Features(tokens=s)).sum()  # noqa: E731
    grad = jnp.broadcast_to(params["kernel"].sum(-1)[None, None], shares.shape)
    np.testing.assert_allclose(jax.grad(loss)(shares), grad, rtol=1e-5)


def test_images_of_112_are_14x14_tokens_and_back(key):
    """224 -> 112 -> 14×14 tokens -> 112, by four stages."""
    reads = encoders.create("dalle_encoder", width=4, vocabulary=12, depths=(1, 1, 1, 1))
    writes = tiny(depths=(1, 1, 1, 1), width=4)
    photo = jax.random.uniform(key, (1, 224, 224, 3))

    @jax.jit
    def there_and_back(key, photo):
        images = normalize.channels(photo)
        logits = reads.apply(reads.init(key, images), images).tokens
        x = Features(target_index=jnp.argmax(logits, -1))
        params = writes.init(key, x, grid=reads.grid)
        return x.target_index, geometry.unpatchify(
            writes.apply(params, x, grid=reads.grid), 8, (14, 14)
        )

    choice, rgb = there_and_back(key, photo)
    assert choice.shape == (1, 196) and rgb.shape == (1, 112, 112, 3)
    assert rgb.min() >= 0 and rgb.max() <= 1 and rgb.std() > 0


def test_bfloat16_stays_close_and_returns_float32(key):
    grid = (2, 3)
    params, x = params_of(tiny(), key), tokens(key, grid)
    exact, half = (apply(tiny(dtype=t), params, x, grid) for t in ("float32", "bfloat16"))
    assert half.dtype == jnp.float32
    # Pixels have a range of 1; the location is rounded to 2^-9 of itself, about ten times.
    assert 1e-5 < np.abs(half - exact).max() < 0.05


def test_it_is_a_head_behind_a_tokenizer(key):
    towers = {"tokenizer": {"name": "dalle_encoder_nano", "width": 8}}
    vit = {"name": "vit_nano", "width": 16, "depth": 1, "heads": 2}
    block = NAME | dict(vocabulary=64, embed=4, width=8, depths=(1, 1), input="tokenizer")
    net = networks.build(vit, towers, {"pixels": block}, image=32, dtype="bfloat16", out={})
    assert net.nodes["pixels"].width == 12 and net.nodes["pixels"].grid == (8, 8)
    x = Features(target_index=jnp.arange(64, dtype=jnp.int32)[None])
    made = jax.eval_shape(lambda k: net.refine(net.init(k), "pixels", x, grid=(8, 8)), key)
    assert made.tokens.shape == (1, 64, 12) and made.tokens.dtype == jnp.float32


def test_mismatches_speak(key):
    module, grid = tiny(), (2, 3)
    start = lambda x, grid: jax.eval_shape(lambda k: module.init(k, x, grid=grid), key)  # noqa: E731
    with pytest.raises(ConfigError, match="reads 12 visual tokens, but its input has width 7"):
        start(Features(tokens=jnp.zeros((1, 6, 7))), grid)
    with pytest.raises(ValueError, match="4 visual tokens do not fill a grid of 2x3"):
        start(tokens(key, (2, 2)), grid)
    for options, message in (
        ({"embed": 0}, "embed is 0, expected 1 to"),
        ({"width": 6}, "dalle_decoder has width 6"),
        ({"dtype": "bf16"}, "dtype is 'bf16'"),
    ):
        with pytest.raises(ConfigError, match=message):
            tiny(**options)
