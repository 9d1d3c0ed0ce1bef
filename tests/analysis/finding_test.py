"""Findings are lines that are read as they were written, and pictures beside them."""

import json

import numpy as np
import pytest

from m3i_jax.analysis import finding
from m3i_jax.analysis.finding import Finding
from m3i_jax.analysis.measure import Picture

ONE = Finding(
    measure="cka:batch=8",
    title="CKA",
    unit="",
    form="matrix",
    values={"matrix": np.float32([[1.0, 0.123456789], [0.5, 1.0]])},
    labels={"rows": ["1", "2"]},
    protocol={"batch": 8},
    counts={"test": 40},
    model="runs/a@3",
    weights="0123",
    branch="ema",
    step=3,
    image=16,
    data="digits",
    records="4567",
)


def test_what_is_written_is_read(tmp_path):
    shown = Picture("two <b> & three", np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    written = finding.write(tmp_path, ONE, drawn=[shown, shown])
    (got,) = finding.read(tmp_path)
    assert got == written._replace(values={"matrix": [[1.0, 0.1234568], [0.5, 1.0]]})
    assert got.name == "cka"
    # One picture, named by what it shows, whose bytes are those that were given.
    (path,) = (tmp_path / "analysis").iterdir()
    assert {name for _, name in got.pictures} == {path.name}
    from PIL import Image

    assert (np.asarray(Image.open(path)) == shown.image).all()


def test_float32_numbers_survive_the_rounding():
    numbers = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    np.testing.assert_allclose(np.float32(finding.rounded(numbers)), numbers, rtol=5e-7)


@pytest.mark.parametrize("values", [{"matrix": [[float("nan")]]}, {"a": np.float32([np.inf])}])
def test_numbers_that_are_not_finite_are_refused(tmp_path, values):
    with pytest.raises(ValueError, match="not finite"):
        finding.write(tmp_path, ONE._replace(values=values))
    assert not (tmp_path / "analysis.jsonl").exists()


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        "{}",
        lambda line: line | {"form": "pie"},
        lambda line: line | {"step": "3"},
        lambda line: line | {"values": []},
        lambda line: line | {"pictures": [["x", "../../secret.png"]]},
        lambda line: line | {"pictures": [["x"]]},
        lambda line: line | {"more": 1},
    ],
)
def test_a_line_that_is_no_finding_is_left_out_and_said(tmp_path, caplog, damage):
    finding.write(tmp_path, ONE)
    path = tmp_path / "analysis.jsonl"
    good = path.read_text()
    line = damage if isinstance(damage, str) else json.dumps(damage(json.loads(good)))
    path.write_text(line + "\n" + good)
    assert [one.measure for one in finding.read(tmp_path)] == [ONE.measure]
    assert "line 1 is no finding" in caplog.text


def test_the_latest_of_equal_ones_counts():
    again, other = ONE._replace(time="2"), ONE._replace(model="runs/b@3")
    assert finding.latest([ONE, other, again]) == [again, other]
