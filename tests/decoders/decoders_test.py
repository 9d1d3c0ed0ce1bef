"""`decoders.create`: every name, and the answers to mistakes."""

import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError


def test_names():
    assert decoders.names() == ("attention_pool", "infill", "linear", "mlp", "projector", "query")
    for name in decoders.names():
        given = {} if name == "projector" else {"out": 8}
        assert isinstance(decoders.create({"name": name}, **given).wants, tuple)


@pytest.mark.parametrize(
    "block, words",
    [
        ({"name": "querry"}, "unknown decoder 'querry'; did you mean 'query'"),
        ({}, "decoder lacks 'name'"),
        ({"name": "query", "dept": 2}, "no key 'dept'; did you mean 'depth'"),
        ({"name": "query", "out": 2}, "no key 'out'"),
        ({"name": "query", "parent": 2}, "no key 'parent'"),
        ({"name": "query", "depth": 2.5}, "expected int"),
    ],
)
def test_mistakes(block, words):
    with pytest.raises(ConfigError, match=words):
        decoders.create(block, out=8)
