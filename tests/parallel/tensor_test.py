"""Products split over an axis `tensor` are those of one device, and are split."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.nn.attention import Attention, Shared
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.rotary import rotation
from m3i_jax.nn.windows import Windows
from m3i_jax.parallel import sharding, tensor

CUBE = {"data": 2, "fsdp": 2, "tensor": 2}
STORED = {"qkv": ("fsdp", "tensor"), "proj": ("tensor", "fsdp")}
STORED |= {"fc1": STORED["qkv"], "fc2": STORED["proj"], "w12": STORED["qkv"], "w3": STORED["proj"]}
ANGLES = rotation(np.random.default_rng(3).normal(size=(1, 6, 4)))


CODES = tuple(np.random.default_rng(4).normal(size=(2, 3, 8)).astype(np.float32))
LAYERS = {
    "attention in windows": (
        Attention(4, windows=Windows((2, 3), (2, 2), (0, 0))),
        Shared(offsets=CODES),
    ),
    "attention": (Attention(4, qkv_bias="qv"), Shared(rotation=ANGLES)),
    "attention by a kernel": (Attention(4, core="pallas"), Shared()),
    "heads that do not divide": (Attention(1), Shared()),
    "mlp": (Mlp(),),
    "gated mlp": (Mlp(gated=True),),
    "hidden layer that does not divide": (Mlp(ratio=33 / 32),),
}


def stored(mesh, path, leaf):
    axes = STORED.get(next((k.key for k in path if k.key in STORED), None), ())
    fits = leaf.ndim == 2 and all(size % 2 == 0 for size in leaf.shape)
    return NamedSharding(mesh, P(*axes) if fits else P())


@pytest.mark.filterwarnings("ignore:.*do not divide over tensor")
@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_those_of_one_device(name):
    layer, *more = LAYERS[name]
    x = np.random.default_rng(0).normal(size=(8, 6, 32)).astype(np.float32)
    start = layer.init(jax.random.key(1), x, *more)
    # Biases start at 0, which would be in their places wherever they were dealt.
    params = jax.tree.map(lambda w: w + 0.1 * np.random.default_rng(2).normal(size=w.shape), start)
    weigh = jnp.asarray(np.random.default_rng(1).normal(size=x.shape), jnp.float32)

    def loss(params, x):
        y = layer.apply(params, x, *more)
        y = y[0] if isinstance(y, tuple) else y
        return (y * weigh).sum(), y

    step = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    mesh = sharding.mesh(CUBE)
    where = jax.tree_util.tree_map_with_path(functools.partial(stored, mesh), params)
    with jax.set_mesh(mesh):
        args = jax.device_put(params, where), jax.device_put(x, sharding.batch_sharding(mesh))
        many = jax.jit(step).lower(*args).compile()
    # rtol: sums in another order; atol: where a sum of thousands comes out near 0.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5),
        jax.device_get(many(*args)), jax.device_get(jax.jit(step)(params, x)),
    )  # fmt: skip


def test_rows_stay_where_they_are():
    """The product that the compiler gets wrong where fsdp is left on the weight (see `tensor`)."""
    mesh, rng = sharding.mesh(CUBE), np.random.default_rng(0)
    x, w = (rng.integers(-3, 4, size).astype(np.float32) for size in ((8, 64), (64, 64)))
    put = lambda a, *axes: jax.device_put(a, NamedSharding(mesh, P(*axes)))  # noqa: E731
    out = NamedSharding(mesh, P(("data", "fsdp"), "tensor"))

    @functools.partial(jax.jit, out_shardings=out)
    def product(x, w):
        split = tensor.rows(64)
        return split.result(split.input(x) @ split.used(w))

    with jax.set_mesh(mesh):
        y = product(put(x, ("data", "fsdp"), "tensor"), put(w, "tensor", "fsdp"))
    np.testing.assert_array_equal(y, x @ w)


def test_dealt_columns_come_back():
    split, w = tensor.Split(False, 2, 3), np.arange(24).reshape(2, 12)
    assert split.dealt(w)[0].tolist() == [0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]
    np.testing.assert_array_equal(tensor.Split(False, 3, 2).dealt(split.dealt(w)), w)
    assert tensor.columns(4, what="heads") is None, "there is no mesh"


def test_heads_that_do_not_divide_are_said():
    with jax.set_mesh(sharding.mesh(CUBE)), pytest.warns(match="3 heads do not divide over tensor"):
        assert jax.eval_shape(lambda: tensor.columns(3, what="heads") or ()) == ()
