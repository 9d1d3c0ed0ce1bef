"""`m3i launch`: the line that it starts, what it refuses, and a run that it carries through."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from m3i_jax.commands import launch
from m3i_jax.parallel.restarts import Failure
from tests import programs
from tests.commands.starts import ROOT, refused


@pytest.mark.parametrize(
    "line, found",
    [
        ("launch --hosts 2 pretrain --workdir x", "launch --hosts 2 -- pretrain --workdir x"),
        ("launch --processes=2 evaluate", "launch --processes=2 -- evaluate"),
        ("launch pretrain --method pretrain", "launch -- pretrain --method pretrain"),
        ("launch --processes=2 -- pretrain", "launch --processes=2 -- pretrain"),
        ("launch --processes=2 frob --a", "launch --processes=2 -- frob --a"),
    ],
)  # fmt: skip
def test_flags_behind_the_verb_are_those_of_the_verb(line, found):
    assert launch.behind(line.split()) == found.split()


@pytest.mark.parametrize(
    "line, words",
    [
        (
            "--processes=2 frob",
            "pretrain, finetune, evaluate, analyze, embed; behind it stands 'frob'",
        ),
        ("--processes=2", "behind it stands nothing"),
        ("--processes 2 export --model=a", "'export'. Other commands are one process, which has"),
        ("--processes=0 pretrain", "--processes"),
        ("--hosts=2 --host=2 --coordinator=a:1 pretrain", "they count from 0"),
        ("--hosts=2 pretrain", "wants --coordinator=HOST:1234, of host 0"),
    ],
)
def test_what_cannot_be_launched_is_refused(line, words, tmp_path):
    assert words in refused("launch", line, tmp_path)


def test_one_process_is_told_nothing_and_several_who_they_are():
    assert launch.own("a:1", 1, 0) == []
    told = ["--distributed", "--coordinator=a:1", "--processes=6", "--process=5"]
    assert launch.own("a:1", 6, 5) == told


def test_the_newest_step_and_what_is_kept_of_failures(tmp_path):
    assert launch._newest(None) == launch._newest(tmp_path) == 0
    for name in ("7", "120", "130.tmp", "x"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert launch._newest(tmp_path) == 120
    assert launch._workdir(["pretrain", "--workdir", "a"]).name == "a"
    assert launch._workdir(["pretrain", "--workdir=a/b"]).name == "b"
    assert launch._workdir(["pretrain"]) is None
    launch._keep(tmp_path, Failure("now", 120, 137, 1, 2.5))
    (line,) = (tmp_path / launch.FAILURES).read_text().splitlines()
    assert json.loads(line) == dict(time="now", step=120, status=137, rank=1, seconds=2.5)
    launch._keep(tmp_path / "none", Failure("now", 0, 1, 0, 1.0))
    assert not (tmp_path / "none").exists()


TRAIN = [
    "pretrain", "--config=digit_scenes/classification", "--config.data.length=64",
    "--config.batch=16", "--config.duration=30 steps", "--config.warmup=0 steps",
    "--config.encoder.width=16", "--config.encoder.depth=1", "--config.log.every=1",
    "--config.checkpoint.every=5", "--config.monitor.every=0", "--config.log.images=0",
    "--config.log.report=False",
]  # fmt: skip


def children(parent):
    """Processes that a process has started, in their order."""
    return [
        int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    ]


def losses(workdir):
    """step -> loss, as a run has logged it last."""
    lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel says who has started whom on Linux")
def test_a_run_whose_process_is_killed_ends_as_one_that_was_left_alone(tmp_path):
    """Two processes of one device each; process 1 is killed behind the first checkpoint.

    The other run is of one process with two devices: sums of two are the same in either order.
    """
    alone, workdir = tmp_path / "alone", tmp_path / "killed"
    verb, *words = TRAIN
    done = programs.run(verb, *words, f"--workdir={alone}", env=programs.devices(2))
    assert done.returncode == 0, done.stderr
    line = [sys.executable, "-m", "m3i_jax", "launch", "--processes=2", "--devices=1",
            "--restarts=1", *TRAIN, f"--workdir={workdir}"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "killed.log").open("w") as log:
        launcher = subprocess.Popen(line, stderr=log, stdout=log, env=environment, cwd=tmp_path)
    try:
        while not (workdir / "checkpoints" / "5").exists():
            assert launcher.poll() is None
            time.sleep(0.01)
        os.kill(children(launcher.pid)[1], signal.SIGKILL)
        assert launcher.wait(900) == 0, (tmp_path / "killed.log").read_text()[-3000:]
    finally:
        launcher.terminate()  # which ends its processes, too
    (failure,) = map(json.loads, (workdir / launch.FAILURES).read_text().splitlines())
    assert (failure["rank"], failure["status"]) == (1, 128 + signal.SIGKILL)
    found = losses(workdir)
    assert failure["step"] >= 5 and len(found) == 30 and found == losses(alone)
