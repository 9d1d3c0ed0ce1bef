"""The papers of a start: what is written is read back, and what others wrote is left out."""

import json
import sys

import jax
import numpy as np
import pytest

import m3i_jax
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.training import starts


def test_every_start_says_command_machine_and_versions(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["m3i pretrain", "--workdir=my runs/a", "--config=b"])
    starts.record(tmp_path / "run", step=0, total=20)
    starts.record(tmp_path / "run", step=10, total=20)
    first, second = starts.read(tmp_path / "run")
    assert (first["step"], second["step"], second["total"]) == (0, 10, 20)
    assert first["command"] == "m3i pretrain '--workdir=my runs/a' --config=b"
    assert first["devices"] == jax.device_count() and first["time"].endswith("+00:00")
    said = {"m3i_jax": m3i_jax.__version__, "jax": jax.__version__, "numpy": np.__version__}
    assert said.items() <= first["versions"].items()


def test_lines_that_are_no_start_are_left_out(tmp_path):
    assert starts.read(tmp_path) == []
    good = json.dumps({"step": 1, "total": 2})
    lines = [good, "{", "[]", '{"step": "1", "total": 2}', '{"step": 1}', "\xff\x00", good[:-3]]
    (tmp_path / starts.FILE).write_bytes("\n".join(lines).encode("latin1"))
    assert starts.read(tmp_path) == [{"step": 1, "total": 2}]


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(Unwritable, match="cannot be written"):
        starts.record(tmp_path / "run", step=0, total=1)
