"""Names of AIMv2; that the numbers are the others' is in tests/parity/rotary_test.py."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import aimv2, importing
from m3i_jax.interop.rename import to_theirs


@pytest.mark.parametrize("layout", aimv2.LAYOUTS, ids=lambda layout: layout.name)
def test_gate_and_value_lie_apart_and_a_head_is_left_out(layout, example):
    _, params = example(layout.name)
    state, unknown = to_theirs(params, layout)
    gates = [key for key in state if state[key].shape == (64, 16)]
    assert not unknown and len(gates) == 4  # of two blocks, gate and value
    head = "head.k_proj.weight" if layout is aimv2.HUGGING_FACE else "head.weight"
    found = importing.renamed(state | {head: state[gates[0]]}, what="it")
    assert found.layout is layout and found.dropped == (head,)
    path = "encoders/image/blocks/mlp/w12/kernel"
    assert (found.params[path] == params[path]).all()
    with pytest.raises(ConfigError, match="zebra"):
        importing.renamed(state | {"zebra": state[gates[0]]}, layout=layout.name, what="it")
