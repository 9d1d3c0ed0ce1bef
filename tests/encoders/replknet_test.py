"""RepLKNet: exact counts, its equations in float64 by both statistics, merging, hidden pixels."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from m3i_jax import encoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.nn.large_kernel import merge

IMAGES = (3, 16, 24, 3)


def tiny(**overrides):
    sizes = dict(image=(16, 24), kernels=(5, 3), depths=(2, 1), channels=(4, 8), small_kernel=3)
    return encoders.create("replknet_nano", **(sizes | overrides))


def params_of(module, key):
    """Parameters drawn without any zeros or ones, through which images keep their differences."""
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        x = rng.normal(0.1, 0.3, leaf.shape)
        if path.endswith("kernel"):
            x = rng.normal(0, math.prod(leaf.shape[-4:-1]) ** -0.5, leaf.shape)
        elif path.endswith("scale"):
            x += 1
        elif path.endswith("var"):
            x = 0.5 + np.abs(x)
        return jnp.float32(x)

    return trees.map_with_name(draw, shapes)


def encode(module, params, images, visible=None, **static):
    apply = functools.partial(module.apply, **static)
    return jax.jit(lambda p, x, v: apply({"params": p}, x, visible=v))(params, images, visible)


@pytest.mark.parametrize(
    "options, count",
    # The official code's, with a 1000-class head: in training, merged, without the small branch.
    [({}, 79_864_168), ({"merged": True}, 79_527_272), ({"small_kernel": None}, 79_539_304)],
)
def test_parameter_counts(options, count, key):
    module = encoders.create("replknet_31b", **options)
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    found = trees.count(trees.drop(shapes, trees.STATISTICS))
    assert found + 1000 * module.features + 1000 == count
    assert (module.patch, module.grid) == (32, (7, 7))
    assert shapes["stages_2"]["blocks"]["large"]["conv"]["kernel"].shape == (18, 27, 27, 1, 512)


def test_paths(key):
    shapes = jax.eval_shape(tiny(lifted=6).init, key, tiny().example())["params"]
    assert set(shapes) == {"patch_embed", "mask_token", "stages_0", "stages_1", "norm"}
    assert set(shapes["patch_embed"]) == {"lift", "conv1", "conv2", "conv3", "conv4"}
    assert set(shapes["stages_0"]) == {"blocks", "downsample"}
    assert set(shapes["stages_1"]) == {"blocks"}
    block = shapes["stages_0"]["blocks"]
    assert set(block) == {"norm1", "pw1", "large", "pw2", "norm2", "mlp"}
    assert set(block["large"]) == {"conv", "norm", "small"}
    assert (shapes["mask_token"].shape, shapes["patch_embed"]["lift"]["kernel"].shape) == (
        (1, 1, 6),
        (3, 6),
    )


def conv_(p, x, stride=1):
    kernel = p["kernel"]
    size = kernel.shape[0]
    x = np.pad(x, ((0, 0), *((size // 2,) * 2,) * 2, (0, 0)))
    windows = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    if kernel.shape[2] == 1:
        return np.einsum("bhwcij,ijc->bhwc", windows, kernel[:, :, 0])
    return np.einsum("bhwcij,ijcd->bhwd", windows, kernel)


def norm_(p, x, batch_stats):
    mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if batch_stats else (p["mean"], p["var"])
    return (x - mean) / np.sqrt(var + 1e-5) * p["scale"] + p["bias"]


def layer_(p, x, batch_stats, stride=1):
    return norm_(p["norm"], conv_(p["conv"], x, stride), batch_stats)


def relu_(x):
    return np.maximum(x, 0)


def gelu_(x):
    return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2


def unit_(p, x, layer, norm):
    y = relu_(layer(p["pw1"], norm(p["norm1"], x)))
    y = layer(p["large"], y) + layer(p["large"]["small"], y)
    x = x + layer(p["pw2"], relu_(y))
    return x + layer(p["mlp"]["fc2"], gelu_(layer(p["mlp"]["fc1"], norm(p["norm2"], x))))


@pytest.mark.parametrize("batch_stats", [False, True])
@pytest.mark.parametrize("scan", [True, False])
def test_forward_in_float64(key, batch_stats, scan):
    module = tiny(scan=scan)
    params = params_of(module, key)
    images = jax.random.normal(key, IMAGES)
    p = jax.tree.map(np.float64, params)
    layer = functools.partial(layer_, batch_stats=batch_stats)
    norm = functools.partial(norm_, batch_stats=batch_stats)
    x = np.float64(images)
    for i, stride in enumerate((2, 1, 1, 2), 1):
        x = relu_(layer(p["patch_embed"][f"conv{i}"], x, stride=stride))
    want = []
    for i in range(2):
        x = unit_(jax.tree.map(lambda a, i=i: a[i], p["stages_0"]["blocks"]), x, layer, norm)
        want.append(x)
    between = p["stages_0"]["downsample"]
    x = relu_(layer(between["dw"], relu_(layer(between["pw"], x)), stride=2))
    x = unit_(jax.tree.map(lambda a: a[0], p["stages_1"]["blocks"]), x, layer, norm)
    want.append(x)
    got = encode(module, params, images, layers=True, batch_stats=batch_stats)
    assert got.pooled is None and got.index is None and len(got.layers) == 3
    for mine, x in zip(got.layers, want, strict=True):
        x = x.reshape(3, -1, x.shape[-1])
        np.testing.assert_allclose(mine, x, rtol=1e-4, atol=1e-4 * np.abs(x).max())
    x = norm(p["norm"], want[-1]).reshape(3, 6, 8)
    np.testing.assert_allclose(got.tokens, x, rtol=1e-4, atol=1e-4 * np.abs(x).max())


@pytest.mark.parametrize("small_kernel", [3, None])
def test_merging_changes_no_code(key, small_kernel, by_norm):
    module = tiny(small_kernel=small_kernel)
    params = params_of(module, key)
    merged, target = merge(params), tiny(merged=True)
    shapes = jax.eval_shape(target.init, key, target.example())["params"]
    assert jax.tree.map(jnp.shape, merged) == jax.tree.map(lambda x: x.shape, shapes)
    images = jax.random.normal(key, IMAGES)
    before, after = encode(module, params, images), encode(target, merged, images)
    by_norm(after.tokens, before.tokens, 2e-6)
    # Anything that is merged already, or is none of ours, stays; so does what was given.
    again = merge({"encoders": {"image": merged}})["encoders"]["image"]
    assert all(map(np.array_equal, jax.tree.leaves(again), jax.tree.leaves(merged)))
    assert "norm" in params["stages_0"]["blocks"]["large"]


def test_the_statistics_move_inside_the_scan(key):
    images = jax.random.normal(key, IMAGES)
    one = functools.partial(tiny, depths=(2,), kernels=(3,), channels=(4,), small_kernel=None)
    params = params_of(one(), key)

    def grad(**options):
        run = lambda p: one(**options).apply({"params": p}, images, batch_stats=True)  # noqa: E731
        return jax.jit(jax.grad(lambda p: jnp.sin(run(p).tokens).mean()))(params)

    plain = grad(scan=False)
    for options in ({"remat": "dots"}, {"remat": "full"}):
        for a, b in zip(jax.tree.leaves(grad(**options)), jax.tree.leaves(plain), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 + 1e-4 * np.abs(b).max())
    # The first norm of the second unit sees what the first unit returns.
    seen = encode(one(), params, images, layers=True, batch_stats=True).layers[0]
    norm, moved = (tree["stages_0"]["blocks"]["norm1"] for tree in (params, plain))
    for name, found in (("mean", seen.mean((0, 1))), ("var", seen.var((0, 1), ddof=1))):
        want = 0.9 * norm[name][1] + 0.1 * found
        np.testing.assert_allclose(norm[name][1] - moved[name][1], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_stats", [False, True])
def test_hidden_pixels_have_no_influence(key, batch_stats):
    module = tiny(lifted=6)
    assert (module.masking, tiny().masking) == ("mask", "")
    params = params_of(module, key)
    images = jax.random.normal(key, IMAGES)
    visible = jnp.arange(18).reshape(3, 2, 3) % 5 < 2

    def total(images):
        how = dict(visible=visible, layers=True, batch_stats=batch_stats)
        features = module.apply({"params": params}, images, **how)
        return sum(jnp.sin(x).sum() for x in (features.tokens, *features.layers))

    grad = np.asarray(jax.jit(jax.grad(total))(images))
    pixels = np.repeat(np.repeat(np.asarray(visible), 8, axis=1), 8, axis=2)
    assert not grad[~pixels].any()
    # The ReLUs are deaf to some of the visible ones.
    assert (grad[pixels] != 0).mean() > 0.3


def test_the_mask_token_stands_for_hidden_pixels(key, by_norm):
    module = tiny(lifted=3)
    params = params_of(module, key)
    images = jax.random.normal(key, IMAGES)
    visible = jnp.arange(18).reshape(3, 2, 3) % 5 < 2
    # Pixels that the map takes to the token are as good as hidden ones.
    params["patch_embed"]["lift"] = {"kernel": jnp.eye(3), "bias": jnp.zeros(3)}
    params["mask_token"] = jnp.array([[[0.3, -2.0, 1.0]]])
    pixels = jnp.repeat(jnp.repeat(visible, 8, axis=1), 8, axis=2)[..., None]
    painted = jnp.where(pixels, images, params["mask_token"][None])
    hidden, shown = encode(module, params, images, visible), encode(module, params, painted)
    by_norm(hidden.tokens, shown.tokens, 2e-6)
    assert not np.allclose(hidden.tokens, encode(module, params, images).tokens, atol=0.1)
    all_seen = encode(module, params, images, jnp.ones_like(visible))
    np.testing.assert_array_equal(all_seen.tokens, encode(module, params, images).tokens)


def test_drop_path_rises_through_the_stages(key, by_norm):
    module = tiny(depths=(1, 1)).clone(drop_path=0.999)  # more than a config may say
    params = params_of(module, key)
    images = jax.random.normal(key, IMAGES)
    rngs = {"droppath": jax.random.key(1)}
    got = encode(module, params, images, train=True, layers=True, rngs=rngs)
    want = encode(module, params, images, layers=True)
    # The first unit has the rate 0; all branches of the last are gone but with probability 0.006.
    by_norm(got.layers[0], want.layers[0], 2e-6)
    between = jax.tree.map(np.float64, params["stages_0"]["downsample"])
    x = np.float64(want.layers[0]).reshape(3, 4, 6, 4)
    x = relu_(layer_(between["pw"], x, False))
    x = relu_(layer_(between["dw"], x, False, 2)).reshape(3, 6, 8)
    np.testing.assert_allclose(got.layers[1], x, rtol=1e-4, atol=1e-4 * np.abs(x).max())


def test_bfloat16_stays_close_and_returns_float32(key):
    images = jax.random.normal(key, IMAGES)
    params = params_of(tiny(lifted=6), key)
    exact = encode(tiny(lifted=6), params, images, batch_stats=True)
    half = encode(tiny(lifted=6, dtype="bfloat16"), params, images, batch_stats=True, layers=True)
    assert {x.dtype for x in half.layers} == {half.tokens.dtype} == {jnp.dtype("float32")}
    error = jnp.linalg.norm(half.tokens - exact.tokens) / jnp.linalg.norm(exact.tokens)
    # About thirty roundings of 2^-9 each lie between pixels and cells.
    assert 1e-4 < error < 0.05


def test_mismatches_speak(key):
    visible = jnp.ones((1, 3, 3), bool)
    for module, width, how, words in (
        (tiny(), 20, {}, "images are 16x20, which is not divisible by stride 8"),
        (tiny(), 24, {"visible": visible}, "sees every pixel"),
        (tiny(), 24, {"attention": True}, "no attention"),
        (tiny(lifted=6), 24, {"visible": visible}, r"\(3, 3\) cells, the images have \(2, 3\)"),
    ):
        with pytest.raises(ValueError, match=words):
            jax.eval_shape(functools.partial(module.init, **how), key, jnp.zeros((1, 16, width, 3)))
    for options, words in (
        ({"image": 20}, "image 20x20 is not divisible by stride 8"),
        ({"kernels": (5,)}, "2 depths, 1 kernels and 2 channels"),
        ({"kernels": (5, 4)}, "a kernel of 4, expected an odd number"),
        ({"small_kernel": 5}, "small_kernel 5 is larger than 3"),
        ({"depths": (2, 0)}, r"depths\[1\] is 0"),
        ({"lifted": 0}, "lifted is 0"),
        ({"dtype": "bf16"}, "dtype is 'bf16'"),
    ):
        with pytest.raises(ConfigError, match=words):
            tiny(**options)
