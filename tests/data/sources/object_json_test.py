"""Objects as a text: there and back, as it is written down, and others than that."""

import json

import numpy as np
import pytest

from m3i_jax.data.sources import object_json, outlines
from m3i_jax.data.sources.sample_objects import checked, none
from tests.data.sources.sample_objects_test import RUNS, WHOLE


def same(one, other):
    for a, b in zip(one[:4], other[:4], strict=True):
        np.testing.assert_array_equal(a, b, strict=True)
    assert (one.outlines is None) == (other.outlines is None)
    for a, b in zip(one.outlines or (), other.outlines or (), strict=True):
        if a is None or b is None:
            assert a is b
            continue
        np.testing.assert_array_equal(a[0], b[0])
        if isinstance(a, outlines.Runs):
            np.testing.assert_array_equal(a.counts, b.counts, strict=True)


def test_there_and_back():
    for one in (WHOLE, WHOLE._replace(outlines=None), none()):
        same(checked(object_json.decode(object_json.encode(one)), 4, 6), one)


def test_as_it_is_written_down():
    said = json.loads(object_json.encode(WHOLE))
    assert said == {
        "corners": WHOLE.corners.tolist(),
        "categories": [0, 7, 0],
        "crowd": [0, 1, 0],
        "area": [4, 2, 0.25],
        "outlines": [
            {"size": [4, 6], "counts": outlines.text(RUNS)}, [[1, 1, 3, 1, 3, 3]], None,
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    "changed, why",
    [
        (dict(more=1), "not what they are made of"),
        (dict(corners="x"), "corners of its objects has other"),
        (dict(categories=[2**40]), "categories of its objects"),
        (dict(corners=[[1, 2], [3]]), "corners of its objects"),
        (dict(outlines=3), "no list"),
        (dict(outlines=[3]), "neither polygons nor runs"),
    ],
)
def test_what_it_is_not(changed, why):
    said = json.loads(object_json.encode(WHOLE)) | changed
    with pytest.raises(ValueError, match=why):
        object_json.decode(json.dumps(said).encode())
