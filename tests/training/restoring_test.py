"""A run goes on from the newest save of all tiers; a window of spikes may be new to it."""

import shutil
import time

import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.training import log, session
from m3i_jax.training.assemble import check

END = 8


class Enough(Exception):
    """What a start went on from has been seen."""


def begun(context):
    raise Enough(int(context.start.step))


def wait(folder, name):
    """For what is written in the background."""
    end = time.monotonic() + 120
    while not [*folder.glob(name)]:
        assert time.monotonic() < end
        time.sleep(0.02)


def state(workdir):
    with Checkpoints(workdir / "checkpoints", read_only=True) as kept:
        return {
            (item, name): leaf
            for item in ("online", "ema", "state")
            for name, leaf in trees.named_leaves(kept.restore_item(END, item))
        }


def test_a_killed_run_goes_on_from_its_emergency_save_or_without_it(shrunk, tmp_path, caplog):
    caplog.set_level("INFO")
    place, workdir, disk = tmp_path / "killed", tmp_path / "run", tmp_path / "disk"
    tiers = dict(every=4, keep=2, local=str(disk), local_every=3)
    changes = {"data.length": 60, "encoder.width": 32, "duration": f"{END} steps"}
    config = shrunk("mae", **changes, checkpoint=tiers)

    def killed(context):
        def copy(info):
            if info.step == 7:  # as if it had ended here: step 4 for all, 3 and 6 of its own
                wait(disk, "*/*/6/manifest.json")
                wait(workdir, "checkpoints/4")
                shutil.copytree(workdir, place / "run")
                shutil.copytree(disk, place / "disk")

        return [copy]

    assert session.train(config, workdir, watch=killed) == 0
    assert not [*disk.iterdir()], "a run that is done needs none"
    straight = state(workdir)

    def back():
        for folder in (workdir, disk):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(place / folder.name, folder)

    back()
    assert session.train(config, workdir) == 0 and "going on from step 6" in caplog.text
    assert "step 6 is an emergency save" in caplog.text
    again = state(workdir)
    assert again.keys() == straight.keys()
    for name, leaf in straight.items():
        np.testing.assert_array_equal(again[name], leaf, err_msg=str(name))
    steps = [line["step"] for line in log.read(workdir / "metrics.jsonl")]
    assert steps == [*range(1, END + 1)]
    # Spikes that are left out from here on: the window is new, the rest is as it was.
    changed = check(shrunk("mae", **changes, **{"spikes.factor": 9.0}))
    with pytest.raises(ConfigError, match="spikes"):
        session.start(changed, workdir)
    assert session.start(changed, workdir, deliberate=("spikes.factor",)) == 0

    back()
    for file in disk.glob("*/*/*/parts.safetensors"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Enough, match="4"):
        session.train(config, workdir, watch=begun)
    assert "step 6 is damaged" in caplog.text and "it is not used" in caplog.text
