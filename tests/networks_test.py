"""Networks: published totals, independence of the parts, and the same values on eight devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax import networks, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Box, Features

NANO = dict(name="vit_nano", width=16, depth=1, heads=2, image=16)
DECODERS = {
    "image": dict(name="query", width=16, depth=1, heads=2),
    "category": dict(name="attention_pool", heads=2),
    "text": dict(name="attention_pool", heads=2, logit_scale=True),
}
OUT = {"image": 16, "category": 8, "text": 8}
TOWERS = {
    "category": dict(name="table", size=10, width=8),
    "text": dict(name="text_nano", width=8, depth=1, heads=2, length=6, unit_norm=True),
}


def built(encoder=NANO, towers=TOWERS, decoders=DECODERS, *, out=OUT, dtype="float32", image=32):
    return networks.build(encoder, towers, decoders, image=image, dtype=dtype, out=out)


def total(network, key):
    shapes = jax.eval_shape(network.init, key)
    return trees.count(shapes), shapes


def test_siamese_im_total(key):
    # SiameseIM's official code: trainable parameters with the frozen patch embedding.
    decoders = {
        "projector": dict(name="projector"),
        "image": dict(name="query", input="projector", norm="batch", embed=False, class_token=True),
    }
    encoder = dict(name="vit_b16", final_norm=False)
    network = built(encoder, {}, decoders, out={"image": 768}, image=224, dtype="bfloat16")
    count, shapes = total(network, key)
    assert count - trees.count(shapes["encoders"]["image"]["patch_embed"]) == 129_944_832
    assert network.batchwise == {"projector", "image"}


def test_running_statistics_couple_rows_in_training_alone():
    pooled = {"image": dict(name="pooled", norm="running")}
    network = built(dict(name="vit_b16"), {}, pooled, out={"image": 768}, image=224)
    assert network.batchwise == {"image"} and network.untracked == frozenset()


def test_mae_total(key):
    # As published; the output width is derived from the tower.
    out = lambda name, towers: 3 * towers["image"].patch ** 2  # noqa: E731
    network = built(dict(name="vit_b16"), {}, {"image": dict(name="infill")}, out=out, image=224)
    assert total(network, key)[0] == 111_655_680
    assert network.batchwise == frozenset()


def test_towers_say_what_they_are():
    network = built()
    assert network.towers == {
        "image": networks.Tower(16, (4, 4), 4, "image", "drop", 4, 1),
        "category": networks.Tower(8, None, None, "table"),
        "text": networks.Tower(8, None, None, "text", depth=1),
    }
    assert network.decoders == ("image", "category", "text")
    assert built(dict(NANO) | {"image": 32}).towers["image"].grid == (8, 8)
    assert built({k: v for k, v in NANO.items() if k != "image"}).towers["image"].grid == (8, 8)


def drawn(network):
    """Parameters of the right shapes, without compiling their initialisation."""
    draw = np.random.default_rng(0).normal
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)


@pytest.fixture(scope="module")
def small():
    network = built()
    return network, jax.jit(network.init)(jax.random.key(0))


def test_parameters_are_plain_float32_dicts(small):
    network, params = small
    assert set(params) == {"encoders", "decoders"}
    assert set(params["encoders"]) == set(network.towers)
    assert tuple(params["decoders"]) and set(params["decoders"]) == set(network.decoders)
    assert all(type(x) is dict for x in (params, params["encoders"]["image"]))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))


def test_modules_are_initialised_independently(small, key):
    fewer = built(towers={}, decoders={"text": DECODERS["text"]})
    params = jax.jit(fewer.init)(key)
    for path in (("encoders", "image"), ("decoders", "text")):
        mine, theirs = (tree[path[0]][path[1]] for tree in (params, small[1]))
        jax.tree.map(np.testing.assert_array_equal, mine, theirs)
    twins = small[1]["decoders"]
    assert (twins["text"]["q"]["kernel"] != twins["category"]["q"]["kernel"]).all()


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


def inputs(key, batch=8):
    images = jax.random.normal(key, (batch, 16, 16, 3))
    return images, jnp.arange(batch) % 10 - 1, jnp.arange(batch * 6).reshape(batch, 6) % 50


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


def test_refine_is_a_head_on_features():
    decoders = {
        "head": dict(name="mlp", hidden=8, pool="class"),
        "tokens": dict(name="projector", heads=2, depth=1),
        "image": dict(name="query", width=16, depth=1, heads=2, input="tokens"),
        "more": dict(name="mlp", hidden=8, layers=2, input="head", pool="class"),
    }
    network = built(decoders=decoders, out={"head": 4, "image": 16, "more": 4})
    params = drawn(network)
    x = Features(jnp.ones((2, 16, 16)), jnp.ones((2, 16)))
    refine = lambda name: jax.eval_shape(  # noqa: E731
        lambda x: network.refine(params, name, x, grid=(4, 4)), x
    )
    decode = lambda name, x: jax.eval_shape(  # noqa: E731
        lambda x: network.decode(params, name, x, grid=(4, 4)), x
    )
    head, tokens = refine("head"), refine("tokens")
    assert head.pooled.shape == (2, 4) and head.tokens is None
    assert tokens.pooled.shape == (2, 16) and tokens.tokens.shape == (2, 16, 16)
    assert decode("more", head).shape == (2, 4)
    assert decode("image", tokens).shape == (2, 16, 16)
    assert network.batchwise == network.untracked == {"head", "tokens", "more"}
    assert network.nodes["tokens"].width == 16 and network.nodes["tokens"].kind == "head"


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


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(encoder={"name": "vit_nani"}), "did you mean 'vit_nano'"),
        (dict(encoder={}), "config.encoder lacks 'name'"),
        (dict(encoder=dict(NANO, depht=3)), "did you mean 'depth'"),
        (dict(image=30, encoder={"name": "vit_nano"}), "30x30 is not divisible by patch 4"),
        (dict(towers={"image": NANO}), "needs another name"),
        (dict(encoder=dict(NANO, shares=1)), "the encoder shares no blocks"),
        (dict(towers={"b": dict(NANO, shares=2)}), "shares 2 blocks with the encoder, expected 1"),
        (dict(decoders={"image": {"name": "query", "input": "imag"}}), "unknown input 'imag'"),
        (dict(decoders={"a": {"name": "linear", "input": "a"}}), "feed each other: a <- a"),
        (dict(decoders={"b": {"name": "linear"}}), "config.decoders.b predicts nothing"),
        (dict(decoders={"image": {"name": "qery"}}), "did you mean 'query'"),
        # The key that can be typed.
        (dict(encoder=dict(NANO, width=0)), r"^config\.encoder\.width is 0, expected 1"),
        (dict(encoder=dict(NANO, hide="drp")), r"^config\.encoder\.hide is .*did you mean 'drop'"),
        (dict(towers={"b": dict(NANO, depth=-1)}), r"^config\.towers\.b\.depth is -1, expected 1"),
        (dict(towers={"b": {"name": "vit_nan"}}), r"^unknown config\.towers\.b 'vit_nan'"),
        (dict(decoders={"p": {"name": "mlp", "out": 3, "layers": -1}}),
         r"^config\.decoders\.p\.layers is -1"),
        (dict(decoders={"p": {"name": "mlp", "out": 3, "norm": "bn"}}),
         r"^config\.decoders\.p\.norm is 'bn'.*did you mean 'batch'"),
        (dict(decoders={"p": {"widht": 3}}), r"^config\.decoders\.p lacks 'name'"),
        (dict(decoders={"image": {"name": "linear", "out": 3}}),
         r"^config\.decoders\.image\.out is 3, but how wide a prediction is the objective says"),
        (dict(decoders={"image": {"name": "projector"}}), "image, a head, has the name of a tower"),
    ],
)  # fmt: skip
def test_mistakes(change, words):
    with pytest.raises(ConfigError, match=words):
        built(**change)


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
