"""The DCNv3 layer and the forms of its block, written out in float64 NumPy."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn.dcn import NORMS, Block, DCNv3, Depthwise, Extra, Form, depthwise

FORM = Form("pre", None, 4.0, 3, 1.0, False, 1e-6, jnp.float32)


def norm_(p, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def linear_(p, x):
    return x @ p["kernel"] + p["bias"]


def gelu_(x):
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


def depthwise_(p, x):
    kernel = p["kernel"][:, :, 0]
    size = len(kernel)
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (size // 2,) * 2, (size // 2,) * 2, (0, 0)))
    taps = itertools.product(range(size), repeat=2)
    return p["bias"] + sum(kernel[i, j] * padded[:, i : i + height, j : j + width] for i, j in taps)


def sampled_(values, offsets, masks, scale):
    """Σ_k a_gk(p) v_g(p + s (r_k + Δ_gk(p))) by hat functions over the whole map."""
    batch, height, width, channels = values.shape
    groups = masks.shape[3]
    taps = np.array(list(itertools.product((-1, 0, 1), repeat=2)))
    places = scale * (taps + offsets)
    hat = lambda t: np.maximum(0, 1 - np.abs(t))  # noqa: E731
    x = np.arange(width)[:, None, None] + places[..., 0]
    y = np.arange(height)[:, None, None, None] + places[..., 1]
    weights = masks[..., None, None] * hat(y[..., None, None] - np.arange(height)[:, None])
    weights = weights * hat(x[..., None, None] - np.arange(width))
    grouped = values.reshape(batch, height, width, groups, -1)
    return np.einsum("bijgkyx,byxgc->bijgc", weights, grouped).reshape(values.shape)


def dcn_(p, x, groups, scale=1.0):
    points = (*x.shape[:3], groups, 9)
    v = linear_(p["input_proj"], x)
    u = gelu_(norm_(p["dw_norm"], depthwise_(p["dw_conv"], x)))
    a = np.exp(linear_(p["mask"], u).reshape(points))
    a = a / a.sum(-1, keepdims=True)
    y = sampled_(v, linear_(p["offset"], u).reshape(*points, 2), a, scale)
    if "center_feature_scale_proj" in p:
        c = 1 / (1 + np.exp(-linear_(p["center_feature_scale_proj"], u)))
        c = np.repeat(c, x.shape[-1] // groups, axis=-1)
        y = (1 - c) * y + c * v
    return linear_(p["output_proj"], y)


def block_(p, x, groups, norm):
    """Each form as the official code has it (https://github.com/OpenGVLab/InternImage)."""
    f = (
        lambda x: dcn_(p["dcn"], x, groups),
        lambda x: linear_(p["mlp"]["fc2"], gelu_(linear_(p["mlp"]["fc1"], x))),
    )
    for i in (1, 2):
        gamma = p.get(f"gamma{i}", 1.0)
        if norm == "pre":
            x = x + gamma * f[i - 1](norm_(p[f"norm{i}"], x))
        elif norm == "post":
            x = x + gamma * norm_(p[f"norm{i}"], f[i - 1](x))
        else:
            y = f[i - 1](norm_(p[f"norm{i}"], x))
            x = x + gamma * norm_(p[f"res_post_norm{i}"], y)
    return x


@pytest.mark.parametrize("size", [1, 3, 5])
def test_depthwise_is_the_grouped_convolution(key, size):
    x = jax.random.normal(key, (2, 5, 4, 6))
    kernel = jax.random.normal(jax.random.fold_in(key, 1), (size, size, 1, 6))
    pad = ((size // 2,) * 2,) * 2
    grouped = lambda x, kernel: jax.lax.conv_general_dilated(  # noqa: E731
        x, kernel, (1, 1), pad, dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=6
    )

    def run(f):
        loss = lambda x, kernel: (jnp.sin(f(x, kernel)) ** 2).sum()  # noqa: E731
        return jax.jit(lambda *a: (f(*a), *jax.grad(loss, argnums=(0, 1))(*a)))(x, kernel)

    for got, want in zip(run(depthwise), run(grouped), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    shapes = jax.eval_shape(Depthwise(size).init, key, x)["params"]
    assert {name: leaf.shape for name, leaf in shapes.items()} == {
        "kernel": (size, size, 1, 6),
        "bias": (6,),
    }


def drawn(shapes, seed=0):
    """Parameters without any zeros or ones."""
    draw = np.random.default_rng(seed).normal
    return jax.tree.map(lambda s: np.float32(draw(0.05, 0.25, s.shape)), shapes)


def doubled(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


@pytest.mark.parametrize(
    "fields", [{}, dict(offset_scale=2.0), dict(dw_kernel=5, centre_scale=True)]
)
def test_layer_in_float64(key, fields):
    module = DCNv3(2, **fields)
    x = np.float32(jax.random.normal(key, (2, 4, 5, 8)))
    params = drawn(jax.eval_shape(module.init, key, x)["params"])
    got = jax.jit(lambda p, x: module.apply({"params": p}, x))(params, x)
    want = dcn_(doubled(params), np.float64(x), 2, fields.get("offset_scale", 1.0))
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)
    assert ("center_feature_scale_proj" in params) == ("centre_scale" in fields)


def test_starts_as_an_average(key):
    """Offsets and masks of zero, and half of the centre value where it is blended in."""
    x = jax.random.normal(key, (1, 4, 5, 8))
    for centre in (False, True):
        module = DCNv3(2, centre_scale=centre)
        params = module.init(key, x)["params"]
        for name in ("offset", "mask"):
            assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(params[name]))
        p = doubled(params)
        v = linear_(p["input_proj"], np.float64(x))
        padded = np.pad(v, ((0, 0), (1, 1), (1, 1), (0, 0)))
        y = sum(padded[:, i : i + 4, j : j + 5] for i in range(3) for j in range(3)) / 9
        want = linear_(p["output_proj"], (y + v) / 2 if centre else y)
        np.testing.assert_allclose(module.apply({"params": params}, x), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [None, 0.1])
@pytest.mark.parametrize("norm", NORMS)
def test_forms_of_the_block_in_float64(key, norm, scale):
    module = Block(2, FORM._replace(norm=norm, layer_scale=scale))
    x = np.float32(jax.random.normal(key, (2, 3, 4, 8)))
    none = Extra(*(np.zeros(()),) * 4)
    params = drawn(jax.eval_shape(module.init, key, x, none)["params"])
    got, kept = jax.jit(lambda p, x: module.apply({"params": p}, x, none))(params, x)
    np.testing.assert_allclose(
        got, block_(doubled(params), np.float64(x), 2, norm), rtol=5e-5, atol=5e-5
    )
    assert kept is None
    extra = {"res_post_norm1", "res_post_norm2"} if norm == "res_post" else set()
    gammas = {"gamma1", "gamma2"} if scale else set()
    assert set(params) == {"dcn", "norm1", "norm2", "mlp"} | extra | gammas


def test_layer_norm_behind_a_block(key):
    x = np.float32(jax.random.normal(key, (2, 3, 4, 8)))
    scale, bias = np.linspace(0.5, 2, 8), np.linspace(-1, 1, 8)
    extra = Extra(np.float32(0), np.bool_(True), np.float32(scale), np.float32(bias))
    module = Block(2, FORM, normed=True, keep=True)
    params = drawn(jax.eval_shape(module.init, key, x, extra)["params"])
    run = jax.jit(functools.partial(module.apply, {"params": params}))
    plain = block_(doubled(params), np.float64(x), 2, "pre")
    y, kept = run(x, extra)
    want = norm_({"scale": scale, "bias": bias}, plain)
    np.testing.assert_allclose(y, want, rtol=5e-5, atol=5e-5)
    np.testing.assert_array_equal(y.reshape(2, 12, 8), kept)
    off, _ = run(x, extra._replace(on=np.bool_(False)))
    np.testing.assert_allclose(off, plain, rtol=5e-5, atol=5e-5)


def test_drop_path_of_whole_samples(key):
    x = np.float32(jax.random.normal(key, (64, 2, 2, 4)))
    extra = Extra(np.float32(0.5), *(np.zeros(()),) * 3)
    module = Block(1, FORM, drop=True)
    keys = {"params": key, "droppath": key}
    params = drawn(jax.eval_shape(module.init, keys, x, extra)["params"])
    y, _ = module.apply({"params": params}, x, extra, rngs={"droppath": jax.random.key(3)})
    same = (np.asarray(y) == x).all((1, 2, 3))
    # Both branches of a sample are dropped in a quarter of all cases: 16 of 64, deviation 3.5.
    assert 2 <= same.sum() <= 30


def test_offsets_and_masks_are_float32_under_bfloat16(key):
    module = DCNv3(2, dtype=jnp.bfloat16)
    x = jax.random.normal(key, (2, 4, 4, 8))
    params = drawn(jax.eval_shape(module.init, key, x)["params"])
    jaxpr = str(jax.make_jaxpr(lambda p, x: module.apply({"params": p}, x))(params, x))
    assert "bf16[2,4,4,2,9" not in jaxpr and "f32[2,4,4,2,9,2]" in jaxpr
    got = jax.jit(lambda p, x: module.apply({"params": p}, x))(params, x)
    assert got.dtype == jnp.bfloat16
    want = dcn_(doubled(params), np.float64(x), 2)
    # Four roundings of 2^-9 on the way, of values and sums of order one.
    assert np.abs(np.float64(got) - want).max() < 0.03 * np.abs(want).max()
