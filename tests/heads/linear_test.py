"""The dense linear head: its formula in float64, its statistics, dropout and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError
from tests.heads.layers import apply, count, drawn, features, head_, moved, norm_, resize_, wide
from tests.networks.small_networks import built

X = features((3, 5, 7, 4), (3, 3, 4, 6))


def head(**how):
    return decoders.create({"name": "dense_linear", **how}, out=9)


@pytest.mark.parametrize("norm", ["running", "none"])
def test_forward_in_float64(norm):
    module = head(norm=norm, maps=(0, 1), dropout=0.5)
    params = drawn(module, X)
    p, (first, second) = wide(params), wide(X.maps)
    y = np.concatenate([first, resize_(second, (5, 7))], -1)
    for train in (True, False):
        want = head_(p["head"], norm_(p["norm"], y, train) if norm == "running" else y)
        got = apply(head(norm=norm, maps=(0, 1)), params, X, train=train)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    # Channels are dropped in training alone.
    np.testing.assert_array_equal(apply(module, params, X), got)


def test_whole_channels_are_dropped(key):
    module = decoders.create({"name": "dense_linear", "dropout": 0.25, "norm": "none"}, out=6)
    params = {"head": {"kernel": jnp.eye(6), "bias": jnp.zeros(6)}}
    got = apply(module, params, X, train=True, rngs={"draw": key})
    share = np.asarray(got) / np.asarray(X.maps[1])
    np.testing.assert_allclose(np.unique(np.abs(share).round(3)), [0.0, 1.333], rtol=1e-6)
    np.testing.assert_allclose(share, np.broadcast_to(share[:, :1, :1], share.shape), rtol=1e-5)


def test_statistics_are_those_of_pytorch_after_two_steps():
    torch = pytest.importorskip("torch")
    module, theirs = head(), torch.nn.BatchNorm2d(6).double()
    params = drawn(module, X)
    with torch.no_grad():
        theirs.running_mean.copy_(torch.tensor(np.float64(params["norm"]["mean"])))
        theirs.running_var.copy_(torch.tensor(np.float64(params["norm"]["var"])))
    for factor in (1.0, 3.0):
        x = X._replace(maps=tuple(factor * y for y in X.maps))
        _, params = moved(module, params, x)
        theirs(torch.tensor(np.float64(x.maps[1])).permute(0, 3, 1, 2))
    np.testing.assert_allclose(params["norm"]["mean"], theirs.running_mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(params["norm"]["var"], theirs.running_var, rtol=1e-5)


def test_counts_start_and_dtype():
    # ADE20K on a ViT-B: CIM's product alone, with DINOv2's norm, and of four blocks.
    given = lambda **how: decoders.create({"name": "dense_linear", **how}, out=150)  # noqa: E731
    maps = [(1, 32, 32, 768)] * 4
    assert count(given(norm="none"), *maps) == 768 * 150 + 150 == 115_350
    assert count(given(), *maps) == 115_350 + 2 * 768
    assert count(given(maps=(0, 1, 2, 3)), *maps) == 4 * 768 * 150 + 150 + 8 * 768 == 467_094
    params = head(dtype="bfloat16").init(jax.random.key(0), X)["params"]
    assert 0.005 < params["head"]["kernel"].std() < 0.02
    x = X._replace(maps=tuple(jnp.bfloat16(y) for y in X.maps))
    assert apply(head(dtype="bfloat16"), params, x).dtype == jnp.float32


def test_a_network_knows_that_its_norm_couples_the_batch():
    block = {"name": "dense_linear"}
    network = built(decoders={"a": block, "b": {**block, "norm": "none"}}, out={"a": 9, "b": 9})
    assert network.batchwise == {"a"} and not network.untracked


def test_refusals():
    with pytest.raises(ConfigError, match="dense_linear head reads no map"):
        head(maps=())
    with pytest.raises(ConfigError, match="norm is 'layer', expected one of running, none"):
        head(norm="layer")
    with pytest.raises(ConfigError, match="maps.0. is 64, expected -64 to 63"):
        head(maps=(64,))
