"""What processes tell each other comes back as it was, and what is no data is refused."""

import json
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.parallel.plain import from_bytes, to_bytes


class Row(NamedTuple):
    """A record of records."""

    number: int
    values: object


VALUES = [
    None,
    True,
    -3,
    0.1,
    math.inf,
    "ü\n",
    b"\n\x00{",
    [1, (2.5, "x"), [], ()],
    {"a": {1: b"z"}, 2: [None]},
    np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::2],
    np.float32(0.1),
    np.zeros((0, 4), np.float32),
    np.array(3),
    np.array(["one", "three"]),
    np.bool_(True),
    Row(7, Row(8, [Row(9, np.ones((2, 2), bool)), b"rle"])),
    [(3, Row(1, {"size": [2, 3], "counts": b"02"})), (1, None)],
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_what_is_told_is_what_was_said(value):
    made = from_bytes(to_bytes(value))
    np.testing.assert_equal(made, value)
    assert type(made) is type(value)
    if isinstance(value, np.ndarray | np.generic):
        assert (made.dtype, made.shape) == (value.dtype, value.shape)
    if isinstance(value, Row):
        assert type(made.values.values[0]) is Row and made.values.values[0].values.dtype == bool


def test_arrays_of_a_device_come_as_those_of_the_host():
    made = from_bytes(to_bytes({"x": jnp.arange(3.0)}))
    np.testing.assert_array_equal(made["x"], [0, 1, 2])
    assert isinstance(made["x"], np.ndarray) and made["x"].flags.writeable


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), np.array([object()]), jnp.ones(2, jnp.bfloat16)]
)
def test_what_is_no_plain_data_is_refused(value):
    with pytest.raises(TypeError, match="is no plain data"):
        to_bytes(value)


@pytest.mark.parametrize(
    "said, why",
    [
        ({"record": ["os", "system", []]}, "os.system is no record"),
        ({"record": ["subprocess", "Popen", []]}, "subprocess.Popen is no record"),
        ({"record": ["builtins", "tuple", []]}, "is no record"),
        ({"record": ["nowhere", "Row", []]}, "nowhere"),
        ({"call": []}, "call"),
        ({"array": ["|O", [1], False]}, "an array of object"),
        ({"array": ["<f4", [3], False]}, "12 bytes are not there"),
        ({"bytes": -1}, "-1 bytes are not there"),
        ({}, "no plain data"),
    ],
)
def test_what_somebody_else_says_is_no_call(said, why):
    with pytest.raises(ValueError, match=why):
        from_bytes(json.dumps(said).encode() + b"\n")


def test_bytes_that_are_cut_off_or_go_on_are_refused():
    told = to_bytes(np.arange(4))
    with pytest.raises(ValueError, match="are not there"):
        from_bytes(told[:-1])
    with pytest.raises(ValueError, match="2 bytes more than it says"):
        from_bytes(told + b"xx")
    with pytest.raises(ValueError, match="no plain data"):
        from_bytes(b"\x80\x04K\x01.")
