"""Trackio: its data base, read back; a run that goes on is the same one there."""

import importlib.util
import json
import os
import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("trackio") is None:
    pytest.skip("pip install 'm3i_jax[trackio]' to test it", allow_module_level=True)

DATA = tempfile.TemporaryDirectory()
os.environ["TRACKIO_DIR"] = DATA.name  # it is read when trackio is imported

from m3i_jax.training.trackers import trackio  # noqa: E402
from m3i_jax.training.trackers.tracker import TrackedRun  # noqa: E402

CONFIG = {"encoder": {"width": 32}, "seed": 1}
PICTURE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def told(workdir, start):
    """A session of a run that begins or goes on: two steps and a picture."""
    tracker = trackio.opened(TrackedRun(workdir, start, CONFIG))
    for step in (start + 1, start + 2):
        tracker.scalars(step, {"train/loss": 1 / step, "train/loss/odd": float("nan")})
    tracker.images(start + 2, {"views/mix": PICTURE})
    tracker.close()


def test_numbers_and_pictures_are_there_and_a_run_that_goes_on_is_the_same(tmp_path):
    for start in (0, 2):
        told(tmp_path / "run", start)
    name = "run-" + (tmp_path / "run" / "trackers" / "trackio").read_text()
    (base,) = Path(DATA.name).glob("*.db")
    rows = sqlite3.connect(base).execute("SELECT run_name, step, metrics FROM metrics ORDER BY id")
    found = [(run, step, json.loads(metrics)) for run, step, metrics in rows]
    assert {run for run, _, _ in found} == {name}
    losses = [(step, m["train/loss"]) for _, step, m in found if "train/loss" in m]
    assert losses == [(step, 1 / step) for step in range(1, 5)]
    assert sum("views/mix" in m for _, _, m in found) == 2
    assert list(Path(DATA.name, "media").rglob("*.png"))
