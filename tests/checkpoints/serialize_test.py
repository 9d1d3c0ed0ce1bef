from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.checkpoints import serialize


class Pair(NamedTuple):
    first: Any
    second: Any


TREE = {
    "a/b": Pair(jnp.ones((2, 3)), ()),
    "key": jax.random.split(jax.random.key(1), 4),
    "none": jnp.zeros((0, 3), jnp.int32),
    "rows": np.arange(3),
    "scalar": 2.5,
}


def test_pack_and_unpack_are_inverse():
    packed = serialize.to_dict(TREE)
    assert set(packed) == {"a", "key", "rows", "scalar"}
    assert packed["a"]["b"]["first"].shape == (2, 3) and packed["key"].shape == (4, 2)
    back = serialize.from_dict(packed, TREE, serialize.describe(TREE))
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    assert serialize.describe(back) == serialize.describe(TREE)
    np.testing.assert_array_equal(
        jax.random.key_data(back["key"]), jax.random.key_data(TREE["key"])
    )


def test_template_has_the_shapes_of_pack():
    abstract = jax.eval_shape(lambda: {k: v for k, v in TREE.items() if k in ("a/b", "key")})
    shapes, arrays = serialize.template(abstract), serialize.to_dict(TREE)
    assert shapes["key"].shape == arrays["key"].shape and shapes["key"].dtype == arrays["key"].dtype
    assert shapes["a"]["b"]["first"].sharding is not None
    kept = serialize.describe(abstract)
    assert serialize.differences({p: serialize.describe(TREE)[p] for p in kept}, kept) == []


def test_numpy_template_and_completion():
    stored = serialize.describe(TREE)
    shapes = serialize.as_numpy(stored)
    assert shapes["key"].dtype == np.uint32 and shapes["key"].shape == (4, 2)
    assert "none" not in shapes
    assert serialize.complete(shapes, stored)["none"].shape == (0, 3)


def test_differences_name_every_path():
    stored = serialize.describe({"a": jnp.ones(2), "b": jnp.ones(3)})
    wanted = serialize.describe({"a": jnp.ones((2, 1)), "c": jnp.ones(3)})
    assert serialize.differences(stored, wanted) == [
        "'a' is float32[2] in the checkpoint, float32[2, 1] here",
        "'b' is in the checkpoint only",
        "'c' is not in the checkpoint",
    ]


def test_paths_must_be_distinct():
    with pytest.raises(ValueError, match="same path 'a/b'"):
        serialize.describe({"a": {"b": jnp.ones(1)}, "a/b": jnp.ones(1)})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_is_not_finite_is_named(dtype):
    tree = {"a": {"w": jnp.ones((3, 2), dtype), "n": jnp.int32(7), "none": jnp.zeros((0, 2))}}
    assert serialize.not_finite(tree) == ""
    for number in (np.nan, np.inf, -np.inf):
        assert serialize.not_finite(tree | {"b": tree["a"]["w"].at[1, 1].set(number)}) == "b"
    spoiled = {str(i): np.float32([1, np.nan]) for i in range(10)}
    assert serialize.not_finite(spoiled) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_what_is_described_is_no_fault(impl):
    tree = TREE | {"other": jax.random.key(0, impl=impl), "small": jnp.ones(2, jnp.bfloat16)}
    assert serialize.fault({"x": serialize.describe(tree | {"on": np.ones(2, bool)})}) == ""


W = {"dtype": "float32", "shape": [2]}


@pytest.mark.parametrize(
    "described",
    [
        3, {"w": None}, {"w": []}, {"w": {}}, {"w": W, "w/x": W}, {"w": W | {"shape": [-1]}},
        {"w": W | {"shape": [True]}}, {"w": W | {"shape": [2**40]}}, {"w": W | {"shape": None}},
        {"w": W | {"dtype": "object"}}, {"w": W | {"dtype": "S100000"}}, {"w": W | {"dtype": 3}},
        {"w": W | {"dtype": "none"}}, {"w": W | {"words": [2]}},
        {"w": {"dtype": "key<fry>", "shape": [], "words": [2], "impl": "rbg"}},
    ],
)  # fmt: skip
def test_what_describes_no_arrays_is_a_fault(described):
    assert serialize.fault({"x": {"a": W}, "y": described}).startswith(("array 'y/w", "item 'y'"))
