"""Weights & Biases, offline: its own file, read back; a run that goes on is the same one there."""

import time

import numpy as np
import pytest

pytest.importorskip("wandb", reason="pip install 'm3i_jax[wandb]' to test what it is told")

from m3i_jax.training.trackers import wandb  # noqa: E402
from m3i_jax.training.trackers.tracker import TrackedRun  # noqa: E402

CONFIG = {"encoder": {"width": 32}, "seed": 1}
PICTURE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def told(workdir, start):
    """A session of a run that begins or goes on: two steps and a picture."""
    tracker = wandb.opened(TrackedRun(workdir, start, CONFIG))
    for step in (start + 1, start + 2):
        tracker.scalars(step, {"train/loss": 1 / step, "train/loss/odd": float("nan")})
    tracker.images(start + 2, {"views/mix": PICTURE})
    tracker.close()


def records(file):
    """Of an offline run: seven bytes, then LevelDB's log: checksum, length, kind, part of a record.

    https://github.com/google/leveldb/blob/main/doc/log_format.md
    """
    from wandb.proto import wandb_internal_pb2

    data, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32768 - at % 32768) < 7:
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record, at = record + data[at + 7 : at + 7 + size], at + 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def written(file):
    """All records of a run that has ended: a process of W&B's own writes on behind that."""
    end = time.monotonic() + 60
    while not any(record.HasField("exit") for record in records(file)):
        assert time.monotonic() < end, "its last record is missing"
        time.sleep(0.1)
    return list(records(file))


def test_numbers_and_pictures_are_there_and_a_run_that_goes_on_is_the_same(tmp_path, monkeypatch):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    told(tmp_path / "run", 0)
    time.sleep(1)  # its folders are named by the second
    told(tmp_path / "run", 2)
    identity = (tmp_path / "run" / "trackers" / "wandb").read_text()
    files = sorted((tmp_path / "run" / "wandb").glob(f"offline-run-*/run-{identity}.wandb"))
    assert len(files) == 2
    found = [record for file in files for record in written(file)]
    assert {r.run.run_id for r in found if r.HasField("run")} == {identity}
    steps = {}
    for record in found:
        for item in record.history.item:
            name = "/".join(item.nested_key) or item.key
            steps.setdefault(name, []).append(item.value_json)
    losses = [float(x) for x in steps["train/loss"]]
    assert losses == [1 / step for step in range(1, 5)]
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*/files/media/images/views/*.png"))


def test_a_key_is_looked_for_and_not_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert not wandb._logged_in()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    assert wandb._logged_in()
    (tmp_path / "netrc").write_text("machine")
    assert not wandb._logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert wandb._logged_in()
