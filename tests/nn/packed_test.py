"""The kernel, interpreted, against the core that XLA computes; its products; where it runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.nn import attend, packed
from m3i_jax.nn.attention import Attention, Shared
from m3i_jax.training.planning import flops


def test_value_and_gradient_are_those_of_the_core(key):
    """Through the module: tokens that no power of two divides, in both dtypes."""
    x = jax.random.normal(key, (3, 7, 12))
    params = {"params": Attention(3).init(key, x, Shared())["params"]}
    for dtype, limit in ((jnp.float32, 2e-6), (jnp.bfloat16, 2e-2)):
        found, right = (
            jax.vjp(
                lambda p, x, core=core, dtype=dtype: Attention(3, core=core, dtype=dtype).apply(
                    p, x, Shared()
                )[0],
                params,
                x,
            )
            for core in ("pallas", "keep")
        )
        g = jax.random.normal(jax.random.fold_in(key, 1), x.shape).astype(dtype)
        trees = ((out, pull(g)) for out, pull in (found, right))
        for a, b in zip(*map(jax.tree.leaves, trees), strict=True):
            a, b = np.float64(a), np.float64(b)
            assert np.linalg.norm(a - b) <= limit * np.linalg.norm(b)


def test_each_device_does_its_own_images(key):
    qkv = jax.random.normal(key, (8, 5, 24))
    want = packed.attend_packed(2, True, qkv)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        rows = jax.sharding.NamedSharding(mesh, jax.P("data"))
        run = jax.jit(lambda x: packed.attend_packed(2, True, x))
        got = run(jax.device_put(qkv, rows))
        text = run.lower(jax.device_put(qkv, rows)).compile().as_text()
    np.testing.assert_array_equal(got, want)
    assert got.sharding.is_equivalent_to(rows, 3) and "all-gather" not in text


def test_its_products_are_counted():
    """Forward 2 products of n² D a head and image; backward 5, one of them made again."""
    qkv = jax.ShapeDtypeStruct((4, 6, 3 * 16), jnp.float32)
    forward = flops.count(lambda x: packed.attend_packed(2, True, x), qkv)
    assert forward == 4 * 2 * (2 * 6 * 6 * 16)
    loss = lambda x: packed.attend_packed(2, True, x).sum()  # noqa: E731
    assert flops.count(jax.value_and_grad(loss), qkv) == forward + 4 * 5 * (2 * 6 * 6 * 16)


def test_the_core_follows_backend_rows_and_length(monkeypatch):
    row = dict(plain=True, tokens=197, width=768, dtype=jnp.bfloat16)
    for where, core, given, want in (
        ("cpu", "auto", {}, "keep"),
        ("tpu", "auto", {}, "pallas"),
        ("tpu", "auto", {"plain": False}, "recompute"),
        ("tpu", "auto", {"tokens": 1370}, "splash"),
        ("tpu", "auto", {"tokens": 1370, "plain": False}, "recompute"),
        ("tpu", "splash", {}, "splash"),
        ("gpu", "auto", {}, "recompute"),
        ("gpu", "cudnn", {}, "cudnn"),
        ("gpu", "cudnn", {"dtype": jnp.float32}, "recompute"),
        ("tpu", "keep", {}, "keep"),
    ):
        monkeypatch.setattr(attend, "platform", lambda where=where: where)
        assert attend.chosen(core, **row | given) == want
    for where, core in (("gpu", "pallas"), ("gpu", "splash"), ("cpu", "cudnn")):
        monkeypatch.setattr(attend, "platform", lambda where=where: where)
        with pytest.raises(ConfigError, match=f"attention '{core}' does not run on a"):
            attend.chosen(core, **row)
