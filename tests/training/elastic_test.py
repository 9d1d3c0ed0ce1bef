"""A run that goes on with other processes, devices and meshes: the same state, samples, losses."""

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from m3i_jax.checkpoints.checkpoint import Checkpoints
from tests import programs
from tests.training import elastic_run

SCRIPT = Path(elastic_run.__file__)
# Steps that a start ends behind, processes, devices of each, mesh.
STRAIGHT = [(8, 1, 1, dict(data=1))]
CHAINS = {
    "8, 4, 1 devices": [
        (3, 1, 8, dict(data=8)),
        (6, 1, 4, dict(data=1, fsdp=4)),
        (8, 1, 1, dict(data=1)),
    ],
    "1, 2, 4, 1 processes": [
        (2, 1, 2, dict(data=2)),
        (4, 2, 1, dict(data=1, fsdp=2)),
        (6, 4, 1, dict(data=1, fsdp=2, tensor=2)),
        (8, 1, 4, dict(data=2, fsdp=2)),
    ],
}


def start(folder, last, count, devices, mesh):
    """One start by `count` processes; (state that it went on from, rows of its steps)."""
    record, of = folder / f"record-{last}", []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [folder / "run", record, last, json.dumps(mesh)]
    for rank in range(count):
        (place := folder / f"{last}-{rank}").mkdir(parents=True)
        own = [f"127.0.0.1:{port}", count, rank] if count > 1 else []
        how = dict(folder=place, env=programs.devices(devices))
        of.append(programs.begin(SCRIPT, *words, *own, **how))
    for done in [programs.end(begun) for begun in of]:
        assert done.returncode == 0, done.stderr[:3000] + "..." + done.stderr[-2000:]
    state, *rows = map(json.loads, record.read_text().splitlines())
    return state, rows


def saved(folder, step):
    """What is on disk behind a step, as `elastic_run` digests it, and the position in the data."""
    with Checkpoints(folder / "run" / "checkpoints", read_only=True) as kept:
        items = {name: kept.restore_item(step, name) for name in ("online", "ema", "state")}
        return elastic_run.digest(items), kept.meta(step)["data"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The rows of a run that nothing interrupted."""
    return start(tmp_path_factory.mktemp("straight"), *STRAIGHT[0])[1]


@pytest.mark.slow
@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_run_goes_on_with_others_as_if_nothing_had_changed(chain, straight, tmp_path):
    rows, before = [], None
    for last, *how in chain:
        state, new = start(tmp_path, last, *how)
        rows += new
        if before is not None:
            assert state == before, "restored, to the bit"
            for part in ("queue", "centre", "optimizer", "ema/encoders"):
                assert any(part in path for path in state), part
        before, position = saved(tmp_path, last)
        assert position == {"sample": 8 * last}
    assert [row["step"] for row in rows] == [*range(1, 9)]
    for one, other in zip(rows, straight, strict=True):
        assert one["records"] == other["records"] and one["batch"] == other["batch"]
    losses = [[row["loss"] for row in of] for of in (rows, straight)]
    np.testing.assert_allclose(*losses, rtol=1e-6)
    assert len({tuple(row["records"]) for row in rows}) == 8
