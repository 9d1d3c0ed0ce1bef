"""The ResNet: exact counts, its equations in float64 by both statistics, and its paths."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.lib.stride_tricks import sliding_window_view

from m3i_jax import encoders, trees
from m3i_jax.build import ConfigError


def tiny(**overrides):
    sizes = dict(image=(16, 24), depths=(1, 2), width=4, block="bottleneck", stem="imagenet")
    return encoders.create("resnet_nano", **(sizes | overrides))


def shallow(**overrides):
    """One basic block at full size: quick to compile."""
    return tiny(**(dict(depths=(1,), stem="small", block="basic") | overrides))


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


def encode(module, params, images, **static):
    apply = functools.partial(module.apply, **static)
    return jax.jit(lambda p, x: apply({"params": p}, x))(params, images)


# torchvision's: with a 1000-class head.
COUNTS = {
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameter_counts(name, key):
    module = encoders.create(name)
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    count = trees.count(trees.drop(shapes, trees.STATISTICS))
    assert count + 1000 * module.features + 1000 == COUNTS[name]
    assert count == 23_508_032 or name != "resnet50"
    assert (module.patch, module.grid) == (32, (7, 7))


def test_paths(key):
    block = {"conv1", "norm1", "conv2", "norm2", "conv3", "norm3"}
    module = tiny()
    shapes = jax.eval_shape(module.init, key, module.example())["params"]
    assert set(shapes) == {"patch_embed", "stages_0", "stages_1"}
    assert set(shapes["patch_embed"]) == {"conv", "norm"}
    assert set(shapes["stages_1"]) == {"blocks_0", "blocks_1"}
    assert set(shapes["stages_1"]["blocks_1"]) == block
    assert set(shapes["stages_1"]["blocks_0"]) == block | {"downsample"}
    assert shapes["stages_1"]["blocks_0"]["downsample"]["conv"]["kernel"].shape == (1, 1, 16, 32)
    # ResNet-18 keeps the identity where its first stage changes neither size nor width.
    basic = encoders.create("resnet18")
    shapes = jax.eval_shape(basic.init, key, basic.example())["params"]
    assert "downsample" not in shapes["stages_0"]["blocks_0"]
    assert "downsample" in shapes["stages_1"]["blocks_0"]


def conv_(p, x, stride=1):
    size = p["kernel"].shape[0]
    x = np.pad(x, ((0, 0), *((size // 2,) * 2,) * 2, (0, 0)))
    windows = sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return np.einsum("bhwcij,ijcd->bhwd", windows, p["kernel"])


def norm_(p, x, batch_stats):
    mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if batch_stats else (p["mean"], p["var"])
    return (x - mean) / np.sqrt(var + 1e-5) * p["scale"] + p["bias"]


def pool_(x):
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    return sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max((-2, -1))


def relu_(x):
    return np.maximum(x, 0)


def block_(p, x, strides, batch_stats):
    y = x
    for i, stride in enumerate(strides, 1):
        y = conv_(p[f"conv{i}"], relu_(y) if i > 1 else y, stride)
        y = norm_(p[f"norm{i}"], y, batch_stats)
    if "downsample" in p:
        x = conv_(p["downsample"]["conv"], x, max(strides))
        x = norm_(p["downsample"]["norm"], x, batch_stats)
    return relu_(x + y)


@pytest.mark.parametrize("batch_stats", [False, True])
@pytest.mark.parametrize("block, stem", [("bottleneck", "imagenet"), ("basic", "small")])
def test_forward_in_float64(key, block, stem, batch_stats):
    module = tiny(block=block, stem=stem)
    params = params_of(module, key)
    images = jax.random.normal(key, (3, 16, 24, 3))
    p = jax.tree.map(np.float64, params)
    x = conv_(p["patch_embed"]["conv"], np.float64(images), 2 if stem == "imagenet" else 1)
    x = relu_(norm_(p["patch_embed"]["norm"], x, batch_stats))
    x = pool_(x) if stem == "imagenet" else x
    # v1.5: the 3×3 convolution has the stride, not the 1×1 in front of it.
    strides = {"bottleneck": lambda s: (1, s, 1), "basic": lambda s: (s, 1)}[block]
    want = [block_(p["stages_0"]["blocks_0"], x, strides(1), batch_stats)]
    for j, stride in ((0, 2), (1, 1)):
        p_block = p["stages_1"][f"blocks_{j}"]
        want.append(block_(p_block, want[-1], strides(stride), batch_stats))
    got = encode(module, params, images, layers=True, batch_stats=batch_stats)
    assert got.pooled is None and got.index is None and len(got.layers) == 3
    for layer, x in zip(got.layers, want, strict=True):
        x = x.reshape(3, -1, x.shape[-1])
        np.testing.assert_allclose(layer, x, rtol=1e-4, atol=1e-4 * np.abs(x).max())
    np.testing.assert_array_equal(got.tokens, got.layers[-1])
    assert got.tokens.shape == (3, module.grid[0] * module.grid[1], module.features)


def test_zero_init_starts_as_identities(key):
    images = jax.random.normal(key, (2, 16, 24, 3))
    for zero in (True, False):
        module = shallow(depths=(2,), zero_init=zero)
        params = jax.jit(module.init)(key, images)["params"]
        scales = trees.select(params, "scale$")
        for path, scale in trees.named_leaves(scales):
            assert (scale == (0 if zero and path.endswith("norm2/scale") else 1)).all()
        layers = encode(module, params, images, layers=True, batch_stats=True).layers
        assert np.array_equal(*layers) == zero


def test_the_gradient_of_a_pass_by_the_batch_moves_the_statistics(key):
    module = shallow(remat="full")
    params = params_of(module, key)
    images = jax.random.normal(key, (4, 16, 24, 3))

    @functools.partial(jax.jit, static_argnums=1)
    def grad(p, batch_stats):
        run = lambda p: module.apply({"params": p}, images, batch_stats=batch_stats)  # noqa: E731
        return jax.grad(lambda p: run(p).tokens.mean())(p)

    by_batch, by_memory = grad(params, True), grad(params, False)
    x = conv_(jax.tree.map(np.float64, params["patch_embed"]["conv"]), np.float64(images))
    norm, moved = params["patch_embed"]["norm"], by_batch["patch_embed"]["norm"]
    for name, found in (("mean", x.mean((0, 1, 2))), ("var", x.var((0, 1, 2), ddof=1))):
        want = 0.9 * norm[name] + 0.1 * found
        np.testing.assert_allclose(norm[name] - moved[name], want, rtol=1e-4, atol=1e-5)
    statistics = trees.select(by_memory, trees.STATISTICS)
    assert not any(x.any() for x in jax.tree.leaves(statistics))
    assert all(x.any() for x in jax.tree.leaves(trees.select(by_batch, trees.STATISTICS)))


def test_gradients_are_those_of_one_device_on_eight(key):
    module = shallow()
    params = params_of(module, key)
    images = jax.random.normal(key, (8, 16, 24, 3)) * jnp.arange(1.0, 9)[:, None, None, None]

    @jax.jit
    def grad(p, x):
        loss = lambda p: jnp.sin(module.apply({"params": p}, x, batch_stats=True).tokens).mean()  # noqa: E731
        return jax.value_and_grad(loss)(p)

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    with jax.set_mesh(mesh):
        sharded = grad(params, jax.device_put(images, NamedSharding(mesh, P("data"))))
    for a, b in zip(*map(jax.tree.leaves, (sharded, grad(params, images))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 + 1e-4 * np.abs(b).max())


def test_drop_path_drops_the_branch_of_whole_samples(key):
    module = shallow(drop_path=0.5, drop_path_schedule="uniform")
    params = params_of(module, key)
    images = jax.random.normal(key, (16, 16, 24, 3))

    def with_branch(factor):
        """The codes where the last norm, and so the branch, has a factor."""
        norm = params["stages_0"]["blocks_0"]["norm2"]
        changed = {name: factor * norm[name] for name in ("scale", "bias")}
        patch = {"stages_0": {"blocks_0": {"norm2": changed}}}
        return encode(module, trees.overlay(params, patch), images).tokens

    rngs = {"droppath": jax.random.key(1)}
    dropped = encode(module, params, images, train=True, rngs=rngs).tokens
    gone = np.isclose(dropped, with_branch(0.0), atol=1e-4).all((1, 2))
    kept = np.isclose(dropped, with_branch(2.0), atol=1e-4).all((1, 2))
    assert (gone ^ kept).all() and 0 < gone.sum() < 16


def test_remat_changes_nothing(key):
    images = jax.random.normal(key, (2, 16, 24, 3))
    params = params_of(shallow(), key)

    def grad(remat):
        run = lambda p: shallow(remat=remat).apply({"params": p}, images, batch_stats=True)  # noqa: E731
        return jax.jit(jax.grad(lambda p: jnp.sin(run(p).tokens).mean()))(params)

    plain = grad("none")
    for remat in ("dots", "full"):
        for a, b in zip(jax.tree.leaves(grad(remat)), jax.tree.leaves(plain), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 + 1e-4 * np.abs(b).max())


def test_bfloat16_stays_close_and_returns_float32(key):
    images = jax.random.normal(key, (3, 16, 24, 3))
    params = params_of(tiny(), key)
    exact = encode(tiny(), params, images, batch_stats=True)
    half = encode(tiny(dtype="bfloat16"), params, images, batch_stats=True, layers=True)
    assert {x.dtype for x in half.layers} == {half.tokens.dtype} == {jnp.dtype("float32")}
    error = jnp.linalg.norm(half.tokens - exact.tokens) / jnp.linalg.norm(exact.tokens)
    # About twenty roundings of 2^-9 each lie between pixels and cells.
    assert 1e-4 < error < 0.03


def test_images_of_another_size(key):
    module = tiny()
    params = params_of(module, key)
    images = jax.random.normal(key, (2, 32, 8, 3))
    got = encode(module, params, images)
    want = encode(tiny(image=(32, 8)), params, images)
    np.testing.assert_array_equal(got.tokens, want.tokens)
    assert got.tokens.shape == (2, 4, 32)


def test_mismatches_speak(key):
    module = tiny()
    params = params_of(module, key)
    for images, how, words in (
        ((1, 16, 20, 3), {}, "images are 16x20, which is not divisible by stride 8"),
        ((1, 16, 24, 3), {"visible": jnp.ones((1, 2, 3), bool)}, "sees every pixel"),
        ((1, 16, 24, 3), {"attention": True}, "no attention"),
    ):
        with pytest.raises(ValueError, match=words):
            module.apply({"params": params}, jnp.zeros(images), **how)
    for options, words in (
        ({"block": "botleneck"}, "did you mean 'bottleneck'"),
        ({"stem": "smal"}, "did you mean 'small'"),
        ({"image": 20}, "image 20x20 is not divisible by stride 8"),
        ({"depths": ()}, "depth is 0, expected at least 1"),
        ({"depths": (2, 0)}, r"depths\[1\] is 0, expected 1 to"),
        ({"drop_path": 1.0}, "drop_path is 1.0, expected 0 to 0.9"),
        ({"remat": "ful"}, "did you mean 'full'"),
    ):
        with pytest.raises(ConfigError, match=words):
            tiny(**options)
    assert module.masking == "" and module.has_batch_stats
