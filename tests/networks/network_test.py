"""Networks: the same values on eight devices, what training needs, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Box, Features
from tests.networks.small_networks import DECODERS, NANO, built, drawn, inputs


def test_running_statistics_couple_rows_in_training_alone():
    pooled = {"image": dict(name="pooled", norm="running")}
    network = built(dict(name="vit_b16"), {}, pooled, out={"image": 768}, image=224)
    assert network.batchwise == {"image"} and network.untracked == frozenset()


def boxes(batch):
    rows = jnp.arange(batch, dtype=jnp.float32)
    return Box(rows, 2 * rows, 20 + rows, 30 - rows, rows % 2, 0 * rows + 64)


def everything(network, params, images, labels, texts):
    """One value that depends on all towers and decoders."""
    batch = len(images)
    visible = jnp.tile(jnp.arange(16).reshape(1, 4, 4) % 2 == 0, (batch, 1, 1))
    x = network.encode(params, "image", images, visible=visible, keep=8)
    source, same = boxes(batch), Box(*(v + 1 for v in boxes(batch)))
    dense = network.decode(
        params, "image", x, grid=(4, 4), source=source, target=same, target_grid=(4, 4)
    )
    pooled = [
        network.decode(params, n, x, grid=(4, 4), source=source) for n in ("category", "text")
    ]
    codes = [network.encode(params, *p).pooled for p in (("category", labels), ("text", texts))]
    assert dense.shape == (batch, 16, 16) and all(z.shape == (batch, 8) for z in pooled + codes)
    assert all(z.dtype == jnp.float32 for z in (dense, x.tokens, *pooled, *codes))
    dots = [(p * z).sum() / batch for p, z in zip(pooled, codes, strict=True)]
    return jnp.square(dense).mean() + sum(dots)


def test_eight_devices_give_the_values_of_one(small, key, by_norm):
    network, params = small
    grad = jax.jit(jax.value_and_grad(lambda p, *x: everything(network, p, *x)))
    one = grad(params, *inputs(key))
    mesh = jax.make_mesh((4, 2), ("data", "fsdp"), axis_types=(AxisType.Auto,) * 2)
    with jax.set_mesh(mesh):
        split = [jax.device_put(x, NamedSharding(mesh, P(("data", "fsdp")))) for x in inputs(key)]
        many = grad(params, *split)
    np.testing.assert_allclose(many[0], one[0], rtol=1e-5)
    found, right = (dict(trees.named_leaves(grads)) for _, grads in (many, one))
    blind = {n for n in right if n.endswith("k/bias")}
    # Sums over the batch in another order.
    by_norm(*({n: g[n] for n in g.keys() - blind} for g in (found, right)), 5e-6)
    # Of a gradient of 0 there is nothing but rounding.
    whole = np.linalg.norm([np.linalg.norm(g) for g in right.values()])
    assert all(np.linalg.norm(g[n]) <= 1e-6 * whole for n in blind for g in (found, right))
    unused = [n for n, g in right.items() if not np.abs(g).max() > 0]
    # Keys get no gradient from a bias, softmax being blind to it; first tokens read the rest.
    assert all(n.endswith("k/bias") for n in unused), unused


def test_a_tower_with_blocks_of_the_encoder(key):
    # CIM's: a generator of four blocks, without its head; two of them and the embedding go.
    vit = dict(name="vit_b16", positions="learned", image=224)
    four = dict(vit, depth=4, hide="mask")
    counts = []
    for generator in (four, dict(four, shares=2)):
        network = built(vit, {"generator": generator}, {}, out={}, image=224)
        shapes = jax.eval_shape(network.init, key)
        counts.append(trees.count(shapes["encoders"]["generator"]))
        x = jax.eval_shape(
            lambda p, x, n=network: n.encode(p, "generator", x).tokens,
            shapes,
            jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32),
        )
        assert x.shape == (2, 196, 768)
    assert counts[0] + 769 * 8192 == 35_396_096
    assert counts[0] - counts[1] == 2 * 7_087_872 + 590_592
    with pytest.raises(ConfigError, match="it is no teacher"):
        network.encode({"encoders": {"generator": {}}}, "generator", jnp.zeros((1, 224, 224, 3)))


def test_training_needs_a_key_only_for_drop_path(key):
    network = built(dict(NANO, drop_path=0.5, drop_path_schedule="uniform"), {}, {}, out={})
    params = drawn(network)
    images = inputs(key)[0]
    with pytest.raises(ValueError, match="needs a key"):
        network.encode(params, "image", images, train=True)
    encode = jax.jit(lambda k: network.encode(params, "image", images, train=True, key=k).tokens)
    one, two, again = (encode(jax.random.key(k)) for k in (1, 2, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != two).any()


def test_unknown_names_and_misplaced_requests(small, key):
    network, params = small
    labels = jnp.zeros((2,), jnp.int32)
    with pytest.raises(ValueError, match="no tower 'imag'; did you mean 'image'"):
        network.encode(params, "imag", labels)
    with pytest.raises(ValueError, match="no decoder 'txt'; did you mean 'text'"):
        network.decode(params, "txt", Features(jnp.zeros((1, 1, 16))))
    with pytest.raises(ValueError, match="tower 'category' is a table"):
        network.encode(params, "category", labels, layers=True)
    dense = built(decoders={"image": dict(DECODERS["image"], input="text")})
    with pytest.raises(ConfigError, match="works on a grid, but config.towers.text has none"):
        jax.eval_shape(dense.init, key)
