from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from m3i_jax import decoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.parallel import sharding
from m3i_jax.types import Batch, Features


def leaf(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def vit(depth=12, width=768):
    """Parameters of a ViT by name, as shapes."""
    hidden = 4 * width
    linear = lambda i, o: {"kernel": leaf(depth, i, o), "bias": leaf(depth, o)}  # noqa: E731
    norm = {"scale": leaf(depth, width), "bias": leaf(depth, width)}
    return {
        "encoders": {
            "image": {
                "cls_token": leaf(1, 1, width),
                "pos_embed": leaf(1, 197, width),
                "patch_embed": {"kernel": leaf(768, width), "bias": leaf(width)},
                "blocks": {
                    "norm1": norm,
                    "norm2": norm,
                    "attn": {"qkv": linear(width, 3 * width), "proj": linear(width, width)},
                    "mlp": {"fc1": linear(width, hidden), "fc2": linear(hidden, width)},
                },
                "norm": {"scale": leaf(width), "bias": leaf(width)},
            }
        },
        "decoders": {"label": {"head": {"kernel": leaf(width, 1000), "bias": leaf(1000)}}},
    }


def specs(tree, mesh, **kwargs):
    found = sharding.shardings(tree, mesh, **kwargs)
    return {path: s.spec for path, s in trees.named_leaves(found)}


@pytest.mark.parametrize(
    "block, shape",
    [
        ({}, (8, 1, 1)),
        ({"fsdp": 4}, (2, 4, 1)),
        ({"data": 2, "fsdp": -1}, (2, 4, 1)),
        ({"data": 1, "fsdp": 2, "tensor": 4}, (1, 2, 4)),
    ],
)
def test_mesh_shapes_and_axis_types(block, shape):
    mesh = sharding.mesh(block, batch=16)
    assert tuple(mesh.shape[a] for a in ("data", "fsdp", "tensor")) == shape
    assert set(mesh.axis_types) == {AxisType.Auto}


@pytest.mark.parametrize(
    "block, message",
    [
        ({"fsdp": 3}, "data = -1, fsdp = 3, tensor = 1, which does not fit 8 devices"),
        ({"data": 2}, "does not fit 8 devices"),
        ({"data": 16}, "does not fit 8 devices"),
        ({"data": -1, "fsdp": -1}, "one of them may be -1"),
        ({"data": 0}, "axes are 1 or more"),
        ({"fdsp": 2}, "no key 'fdsp'; did you mean 'fsdp'"),
        ({"fsdp": 2.5}, "expected a whole number"),
    ],
)
def test_meshes_that_do_not_fit_say_why(block, message):
    with pytest.raises(ConfigError, match=message):
        sharding.mesh(block)


def test_a_batch_must_divide():
    with pytest.raises(ConfigError, match="batch of 12 .* = 8 devices; .* are 8 and 16"):
        sharding.mesh({}, batch=12)
    with pytest.raises(ConfigError, match="the nearest size that does is 8$"):
        sharding.mesh({}, batch=3)
    sharding.mesh({"data": 4, "tensor": 2}, batch=12)
    with pytest.raises(ConfigError, match="batch of 12"):
        sharding.put(np.zeros((12, 2)), sharding.mesh({}))


def test_vit_under_fsdp():
    """Every matrix is split once, over a dimension of its own and never over depth."""
    found = specs(vit(), sharding.mesh({"data": 2, "fsdp": 4}))
    image = "encoders/image/"
    assert found[image + "blocks/attn/qkv/kernel"] == P(None, "fsdp", None)
    assert found[image + "blocks/attn/proj/kernel"] == P(None, None, "fsdp")
    assert found[image + "blocks/mlp/fc2/kernel"] == P(None, None, "fsdp")
    assert found[image + "patch_embed/kernel"] == P(None, "fsdp")
    assert found[image + "pos_embed"] == P(None, None, "fsdp")
    assert found["decoders/label/head/kernel"] == P("fsdp", None)
    for path in ("cls_token", "norm/scale", "blocks/norm1/scale", "patch_embed/bias"):
        assert found[image + path] == P(), path  # too small
    for path, spec in found.items():
        assert "blocks/" not in path or not spec or spec[0] is None, path


def test_vit_under_tensor_parallelism():
    found = specs(vit(), sharding.mesh({"data": 1, "fsdp": 2, "tensor": 4}))
    assert found["decoders/label/head/kernel"] == P("fsdp", "tensor")
    table = {"encoders": {"category": {"kernel": jax.ShapeDtypeStruct((21_848, 64), jnp.float32)}}}
    assert list(specs(table, sharding.mesh({"data": 1, "fsdp": 2, "tensor": 4})).values()) == [
        P(("fsdp", "tensor"), None)
    ]
    image = "encoders/image/blocks/"
    assert found[image + "attn/qkv/kernel"] == P(None, "fsdp", "tensor")
    assert found[image + "attn/qkv/bias"] == P()  # small
    assert found[image + "mlp/fc1/kernel"] == P(None, "fsdp", "tensor")
    assert found[image + "attn/proj/kernel"] == P(None, "tensor", "fsdp")
    assert found[image + "mlp/fc2/kernel"] == P(None, "tensor", "fsdp")
    assert found[image + "mlp/fc2/bias"] == P()


def test_data_parallel_replicates_everything():
    assert set(specs(vit(), sharding.mesh({})).values()) == {P()}


def test_stacked_equals_single_layer_but_for_depth():
    mesh = sharding.mesh({"data": 2, "fsdp": 4})
    for shape in ((768, 2304), (3072, 768), (12, 4096), (2**15,)):
        for name in ("attn/qkv/kernel", "some/kernel"):
            one = sharding.spec("block3/" + name, shape, mesh)
            stack = sharding.spec("blocks/" + name, (24, *shape), mesh)
            assert stack == (P(None, *one) if one else P()), (shape, name)


def test_depth_is_never_split_even_when_it_is_the_longest():
    mesh = sharding.mesh({"data": 2, "fsdp": 4})
    assert sharding.spec("blocks/x/table", (1024, 400, 64), mesh) == P(None, "fsdp", None)
    assert sharding.spec("x/table", (1024, 400, 64), mesh) == P("fsdp", None, None)


LAYERS = {
    "dino_detector": dict(queries=9),
    "mask2former": dict(queries=9, points=32),
    "swin_track": {},  # whose layers are not stacked
}
COUNTED = {"dino_detector": ("layers", "encoder_layers"), "swin_track": ("depth",)}
COUNTED["mask2former"] = ("rounds", "encoder_layers")


@pytest.mark.parametrize("name", LAYERS)
def test_what_grows_with_the_layers_of_a_head_is_stacked_and_nothing_else(name):
    """Of more layers a leaf has a longer first axis, which no rule splits, whatever its name."""
    maps = [jax.ShapeDtypeStruct((1, 16 >> i, 16 >> i, 64), jnp.float32) for i in range(4)]
    x = Features(maps=tuple(maps[:1] if name == "swin_track" else maps))

    def leaves(count):
        block = LAYERS[name] | dict.fromkeys(COUNTED[name], count) | {"name": name, "width": 256}
        head = decoders.create(block, out=1)
        make = lambda key, x: head.init(key, x, size=(64, 64))  # noqa: E731
        shapes = jax.eval_shape(make, jax.random.key(0), x)["params"]
        return dict(trees.named_leaves({"decoders": {"head": shapes}}))

    few, many = leaves(2), leaves(3)
    assert few.keys() == many.keys() or name == "swin_track"
    grown = {path for path in few if few[path].shape != many[path].shape}
    assert grown == {path for path in few if sharding.STACKED.search(path)}
    assert bool(grown) == (name != "swin_track")
    mesh = sharding.mesh({"data": 1, "fsdp": 8})
    for path in grown:
        assert many[path].shape == (3, *few[path].shape[1:])
        one = sharding.spec(path.replace("/blocks/", "/blocks_0/"), few[path].shape[1:], mesh)
        found = sharding.spec(path, (8, *few[path].shape[1:]), mesh)
        assert found == (P(None, *one) if one else P()), path
        moments = sharding.shardings(
            {"optimizer": {path: leaf(8, *few[path].shape[1:])}}, sharding.mesh({}), zero1=True
        )
        (moment,) = jax.tree.leaves(moments)
        assert not moment.spec or moment.spec[0] is None, path
    split = [path for path in grown if path.endswith("mlp/fc1/kernel")]
    for path in split:
        assert sharding.spec(path, few[path].shape, mesh) == P(None, "fsdp", None)


def test_indivisible_falls_back():
    mesh = sharding.mesh({"fsdp": 8})
    assert sharding.spec("w/table", (999, 1001), mesh) == P()
    assert sharding.spec("w/table", (999, 1000), mesh) == P(None, "fsdp")
    assert sharding.spec("blocks/w", (4, 999, 999), mesh, rules=((".*", ("fsdp",) * 3),)) == P()
    rules = ((".*", (None, ("data", "fsdp"))),)
    both = sharding.mesh({"data": 2, "fsdp": 4})
    assert sharding.spec("w", (300, 800), both, rules=rules) == P(None, ("data", "fsdp"))
    assert sharding.spec("w", (300, 804), both, rules=rules) == P()


def test_rules_are_checked():
    mesh = sharding.mesh({})
    with pytest.raises(ConfigError, match="'larges'"):
        sharding.spec("w", (300, 800), mesh, rules=((".*", "larges"),))
    with pytest.raises(ConfigError, match="names the axis 'model'"):
        sharding.spec("w", (300, 800), mesh, rules=((".*", ("model",)),))
    with pytest.raises(ValueError, match="no rule matches"):
        sharding.spec("w", (300, 800), mesh, rules=(("x", "largest"),))


class State(NamedTuple):
    params: Any
    ema: Any
    optimizer: Any
    key: Any


def test_parameters_moments_and_average_are_split_alike():
    mesh = sharding.mesh({"data": 2, "fsdp": 4})
    params = vit(depth=2)
    key = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 8))
    state = State(params, params, jax.eval_shape(optax.adam(1e-3).init, params), key)
    found = sharding.shardings(state, mesh)
    moments = found.optimizer[0]
    assert found.params == found.ema == moments.mu == moments.nu
    assert moments.count.spec == found.key.spec == P()


def test_put_makes_global_arrays():
    mesh = sharding.mesh({"data": 2, "fsdp": 4})
    rows = np.arange(32, dtype=np.float32).reshape(16, 2)
    made = sharding.put(Batch({"a": rows}, {}, label=np.arange(16)), mesh)
    assert made.images["a"].sharding == sharding.batch_sharding(mesh)
    assert {s.data.shape for s in made.images["a"].addressable_shards} == {(2, 2)}
    np.testing.assert_array_equal(made.images["a"], rows)
    np.testing.assert_array_equal(made.label, np.arange(16))
    assert made.text is None


def test_abstract_carries_shardings():
    mesh = sharding.mesh({"fsdp": 8})
    tree = vit(depth=1)
    found = sharding.abstract(tree, sharding.shardings(tree, mesh))
    kernel = found["decoders"]["label"]["head"]["kernel"]
    assert kernel.shape == (768, 1000) and kernel.sharding.spec == P("fsdp", None)
    assert sharding.replicated(mesh).spec == P()
