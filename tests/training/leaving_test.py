"""Runs that have to leave, or lose what they stand on: what can be kept is kept, to the bit."""

import os
import shutil
import signal
import threading
import time

import jax
import numpy as np
import pytest

from m3i_jax import data, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.faults import CheckpointError
from m3i_jax.data.sources.gone import Gone
from m3i_jax.parallel.signals import EXIT_PREEMPTED
from m3i_jax.training import log
from m3i_jax.training.session import train


@pytest.fixture(scope="module")
def config(shrunk):
    return shrunk("mae", **{"data.length": 60, "encoder.width": 32})


@pytest.fixture(scope="module")
def straight(config, shrunk, tmp_path_factory):
    """A run that nothing disturbed, where another one was refused before its first step."""
    workdir = tmp_path_factory.mktemp("straight") / "run"
    other = shrunk("mae", **{"data.length": 60, "optimizer.lr": 1e-4})

    def refuse(context):
        raise ConfigError("such a monitor there is not")

    with pytest.raises(ConfigError, match="there is not"):
        train(other, workdir, watch=refuse)
    assert (workdir / "config.json").exists()
    assert train(config, workdir) == 0
    return workdir


def assert_same_end(one, two):
    kept = [Checkpoints(workdir / "checkpoints", read_only=True) for workdir in (one, two)]
    assert kept[0].latest() == kept[1].latest() == 12
    for item in ("online", "ema", "state"):
        left, right = (dict(trees.named_leaves(k.restore_item(12, item))) for k in kept)
        for name, leaf in left.items():
            np.testing.assert_array_equal(leaf, right[name], err_msg=f"{item}: {name}")
    lines = [steps_and_losses(workdir) for workdir in (one, two)]
    assert lines[0] == lines[1] and [step for step, _ in lines[0]] == list(range(1, 13))


def steps_and_losses(workdir):
    return [(line["step"], line["train/loss"]) for line in log.read(workdir / "metrics.jsonl")]


class Stalling:
    """A source whose reads hang from a certain number on, until they are let go."""

    def __init__(self, source, reads):
        self._source, self._left, self.gate = source, reads, threading.Event()

    def __len__(self):
        return len(self._source)

    def __getitem__(self, index):
        self._left -= 1
        if self._left < 0:
            self.gate.wait()
        return self._source[index]

    def __getattr__(self, name):
        return getattr(self._source, name)


def test_asked_to_leave_while_the_data_stall_it_saves_and_goes(
    config, straight, tmp_path, monkeypatch
):
    workdir, asked = tmp_path / "run", []
    stalling = Stalling(data.source(config.data, split="train"), reads=80)

    def ask():
        # Of ten batches two wait in the queue, and lines are written two steps late.
        while len(log.read(workdir / "metrics.jsonl")) < 4:
            time.sleep(0.05)
        time.sleep(1.0)
        asked.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(data, "source", lambda block, **how: stalling)
    threading.Thread(target=ask, daemon=True).start()
    try:
        assert train(config, workdir) == EXIT_PREEMPTED
        seconds = time.monotonic() - asked[0]
    finally:
        stalling.gate.set()
    monkeypatch.undo()
    assert seconds < 10, "saved and gone within 10 s"
    reached = Checkpoints(workdir / "checkpoints", read_only=True).latest()
    assert 4 <= reached == len(log.read(workdir / "metrics.jsonl")) < 12
    assert train(config, workdir) == 0
    assert_same_end(straight, workdir)


@pytest.mark.parametrize("what", ["", "checkpoints"])
def test_a_directory_deleted_under_a_run_comes_back(config, straight, tmp_path, what):
    workdir = tmp_path / "run"

    def delete(info):
        while info.step == 6 and (workdir / what).exists():  # a save may be under way there
            shutil.rmtree(workdir / what, ignore_errors=True)

    assert train(config, workdir, watch=lambda context: [delete]) == 0
    assert_same_end(straight, workdir)
    assert (workdir / "config.json").read_text() == (straight / "config.json").read_text()
    assert not (workdir / "checkpoints" / ".lock").exists()
    assert Checkpoints(workdir / "checkpoints", read_only=True).steps() == [8, 12]


@pytest.mark.parametrize("kind", ["removed", "renamed", "a file"])
def test_a_directory_that_is_gone_at_the_end_is_no_good_end(config, tmp_path, kind, monkeypatch):
    """Behind the last save, which waits for its step: nothing is left to make it again."""
    workdir, close = tmp_path / "run", log.Log.close

    def go(self):
        close(self)
        workdir.rename(tmp_path / "elsewhere")
        if kind == "removed":
            shutil.rmtree(tmp_path / "elsewhere")
        if kind == "a file":
            workdir.write_text("")

    monkeypatch.setattr(log.Log, "close", go)
    with pytest.raises(
        CheckpointError, match="step 12 was saved, but .* was deleted or moved"
    ) as met:
        train(config, workdir)
    assert met.value.status == 74


def test_what_fails_beside_the_training_loses_no_step(config, straight, tmp_path, caplog):
    def fail(info):
        if info.step == 7:
            raise Gone("'photos' is gone")

    caplog.set_level("INFO")
    with pytest.raises(Gone):
        train(config, tmp_path, watch=lambda context: [fail])
    assert f"step 7 of 12 is saved in {tmp_path}; m3i pretrain --workdir" in caplog.text
    assert Checkpoints(tmp_path / "checkpoints", read_only=True).latest() == 7
    assert [step for step, _ in steps_and_losses(tmp_path)] == list(range(1, 8))
    assert train(config, tmp_path) == 0
    assert_same_end(straight, tmp_path)


def test_a_work_directory_that_cannot_be_made_is_one_sentence(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match="cannot be written: Not a directory") as error:
        train(config, tmp_path / "file" / "run")
    assert error.value.status == 74
    jax.clear_caches()
