"""Heads of depth: their equations in float64, that of MIM-Depth in PyTorch's layers, and counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError
from tests.heads.layers import (
    apply,
    conv_,
    count,
    deconv_,
    draw_torch,
    drawn,
    features,
    head_,
    kernel_of,
    layer_of,
    moved,
    norm_,
    ours,
    resize_,
    wide,
)  # fmt: skip

X = features((2, 2, 3, 4), (2, 1, 2, 5))
SMALL = dict(name="depth_deconvolutions", layers=1, hidden=6, width=5, max_depth=80.0)


def test_deconvolutions_in_float64():
    module = decoders.create({**SMALL, "map": 0}, out=1)
    params = drawn(module, X)
    p, y = wide(params), np.float64(X.maps[0])
    y = np.maximum(norm_(p["layers_0"]["norm"], deconv_(p["layers_0"]["conv"], y), True), 0)
    y = np.maximum(norm_(p["conv"]["norm"], conv_(p["conv"]["conv"], y), True), 0)
    y = resize_(resize_(y, (8, 12)), (16, 24))
    y = conv_(p["head"], np.maximum(conv_(p["last"], y), 0))
    got = apply(module, params, X, train=True)
    np.testing.assert_allclose(got, 80 / (1 + np.exp(-y)), rtol=1e-4, atol=1e-3)
    low = decoders.create({**SMALL, "map": 0, "dtype": "bfloat16"}, out=1)
    low = apply(low, params, X, train=True)
    assert low.dtype == jnp.float32 and low.shape == (2, 16, 24, 1)
    np.testing.assert_allclose(low, got, atol=2.0)


def test_deconvolutions_are_those_of_pytorch_in_two_steps():
    torch = pytest.importorskip("torch")
    layer = lambda made, width: [made, torch.nn.BatchNorm2d(width), torch.nn.ReLU()]  # noqa: E731
    up = lambda: torch.nn.Upsample(scale_factor=2, mode="bilinear")  # noqa: E731
    conv = lambda width, out: torch.nn.Conv2d(width, out, 3, padding=1)  # noqa: E731
    theirs = torch.nn.Sequential(
        *layer(torch.nn.ConvTranspose2d(5, 6, 2, stride=2, bias=False), 6),
        *layer(conv(6, 5), 5),
        *(up(), up(), conv(5, 5), torch.nn.ReLU(), conv(5, 1), torch.nn.Sigmoid()),
    )
    draw_torch(torch, theirs)
    statistics = lambda: {  # noqa: E731
        "layers_0": layer_of(theirs[0], theirs[1]),
        "conv": layer_of(theirs[3], theirs[4]),
    }
    params = statistics() | {"last": kernel_of(theirs[8]), "head": kernel_of(theirs[10])}
    module = decoders.create(SMALL, out=1)
    x = torch.tensor(np.asarray(X.maps[1])).permute(0, 3, 1, 2)
    for _ in range(2):
        got, params = moved(module, params, X)
        np.testing.assert_allclose(got, 80 * ours(theirs(x)), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(apply(module, params, X), 80 * ours(theirs.eval()(x)), rtol=1e-3)
    for name, right in statistics().items():
        for what in ("mean", "var"):
            found = params[name]["norm"][what]
            np.testing.assert_allclose(found, right["norm"][what], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["running", "none"])
def test_bins_in_float64(norm):
    how = dict(bins=8, min_depth=0.5, max_depth=4.0, maps=(0, 1), scale=2, norm=norm)
    module = decoders.create({"name": "depth_bins", **how}, out=1)
    params = drawn(module, X)
    p = wide(params)
    y = np.concatenate([np.float64(X.maps[0]), resize_(np.float64(X.maps[1]), (2, 3))], -1)
    y = norm_(p["norm"], y, True) if norm == "running" else y
    w = np.maximum(head_(p["head"], resize_(y, (4, 6))), 0) + 0.1
    want = (w / w.sum(-1, keepdims=True)) @ np.linspace(0.5, 4, 8)
    got = apply(module, params, X, train=True)
    np.testing.assert_allclose(got[..., 0], want, rtol=1e-5)
    # Without anything to go by, every bin has the same weight.
    nothing = jax.tree.map(jnp.zeros_like, params)
    np.testing.assert_allclose(apply(module, nothing, X), 2.25, rtol=1e-6)


def test_counts_and_start(key):
    # MIM-Depth on a SwinV2-B: its 128 biases in front of a batch norm are left out.
    module = decoders.create({"name": "depth_deconvolutions"}, out=1)
    want = 4 * 1024 * 32 + 2 * 4 * 32**2 + 3 * 64 + 9 * 32 * 128 + 256
    want += 9 * 128**2 + 128 + 9 * 128 + 1
    assert count(module, (1, 15, 15, 1024)) == want == 325_313
    params = module.init(key, features((1, 1, 1, 64)))["params"]
    assert 0.0008 < params["last"]["kernel"].std() < 0.0012
    middle = apply(module, params, features((1, 1, 1, 64)))
    assert middle.shape == (1, 32, 32, 1)
    np.testing.assert_allclose(middle, 5.0, atol=0.1)
    module = decoders.create({"name": "depth_bins"}, out=1)
    assert count(module, (1, 26, 34, 768)) == 2 * 768 + 768 * 256 + 256 == 198_400


def test_refusals():
    with pytest.raises(ConfigError, match="min_depth 5 and max_depth 2; expected a larger"):
        decoders.create(dict(name="depth_bins", min_depth=5.0, max_depth=2.0), out=1)
    with pytest.raises(ConfigError, match="depth_bins head reads no map"):
        decoders.create(dict(name="depth_bins", maps=()), out=1)
