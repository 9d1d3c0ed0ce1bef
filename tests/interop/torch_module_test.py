"""Stand-ins do nothing that a file says; what they keep of a module is its state dict."""

from collections import OrderedDict

import pytest

from m3i_jax.interop.torch_module import StandIn, plain, state_dict


def module(parameters=(), buffers=(), modules=(), **more):
    """What a reader makes of a pickled module."""
    made = StandIn("anything", 1)
    places = {"_parameters": parameters, "_buffers": buffers, "_modules": modules}
    made.__setstate__({name: OrderedDict(x) for name, x in places.items()} | more)
    return made


TREE = module(
    {"w": 1, "b": None},
    {"mean": 2, "seen": 3},
    {"first": module({"w": 4}), "none": None, "1": module(modules={"deep": module({"w": 5})})},
    _non_persistent_buffers_set={"seen"},
    training=True,
)


def test_the_state_dict_is_that_of_the_module():
    assert state_dict(TREE) == {"w": 1, "mean": 2, "first.w": 4, "1.deep.w": 5}


def test_modules_are_found_inside_of_dicts():
    other = StandIn()
    assert plain({"model": TREE, "args": other, "n": 3}) == {
        "model": state_dict(TREE),
        "args": other,
        "n": 3,
    }
    assert plain(other) is other


def test_what_is_no_module_in_a_module_is_refused():
    with pytest.raises(ValueError, match="a module in it has no parameters"):
        state_dict(module(modules={"x": StandIn()}))


def test_no_state_becomes_an_attribute():
    """A reader would call a file's `__setstate__` or `detach`, with arguments of the file."""
    calls = []
    made = StandIn(calls.append)
    made.__setstate__({"__setstate__": calls.append, "detach": calls.append})
    made.__setstate__("again")
    assert not calls and made.state == "again" and not hasattr(made, "detach")
    with pytest.raises(AttributeError):
        made.detach = calls.append


def test_what_is_in_a_file_twice_is_looked_at_once_and_ends():
    two, deep = {"w": 1}, module({"w": 1})
    many = module({"w": 1})
    for _ in range(200):
        two = {"a": two, "b": two}
        deep, many = module(modules={"deeper": deep}), module(modules={"a": many, "b": many})
    found = plain(two)
    assert found["a"] is found["b"] and found["a"]["b"] is found["b"]["a"]
    with pytest.raises(ValueError, match="more than 100000 modules in each other|of 502 letters"):
        plain(many)
    with pytest.raises(ValueError, match="a name of 50. letters"):
        state_dict(deep)
