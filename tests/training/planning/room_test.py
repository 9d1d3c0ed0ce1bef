"""A disk without room for checkpoints is said before the first step."""

from types import SimpleNamespace

import numpy as np
import pytest

from m3i_jax.checkpoints import storage
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.training.planning import room

STATE = {"w": np.zeros((100, 5), np.float32), "step": np.zeros((), np.int32)}
SAVES = SimpleNamespace(checkpoint={"keep": 2, "every": 10})
RUN = SimpleNamespace(abstract=STATE, config=SAVES, total=100)


def test_a_checkpoint_is_as_large_as_its_arrays():
    assert room.checkpoint(RUN) == 100 * 5 * 4 + 4 and room.most(RUN) == 3
    assert room.most(RUN, start=85) == 2 and room.most(RUN, start=99) == 1


@pytest.mark.parametrize(
    "left, before, said",
    [
        (6012, 0, ""),
        (6011, 0, "has 6.01 kB left, and the checkpoints to come, 3 at once, take 6.01 kB"),
        (4008, 1, ""),
        (4007, 1, "2 at once, take 4.01 kB"),
        (2004, 4, ""),
    ],
)
def test_what_is_left_is_held_against_all_that_will_lie_there(
    left, before, said, tmp_path, monkeypatch, caplog
):
    for step in range(before):
        (tmp_path / "run" / "checkpoints" / f"{step}").mkdir(parents=True)
    monkeypatch.setattr(storage, "free", lambda path: left)
    room.require(RUN, tmp_path / "run")
    room.warn(RUN, tmp_path / "run")
    assert said in caplog.text and bool(said) == bool(caplog.messages)


def test_without_room_for_one_nothing_is_begun(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(storage, "free", lambda path: asked.append(path) or 2003)
    with pytest.raises(Unwritable, match="has 2 kB left, and a checkpoint takes 2 kB; make room"):
        room.require(RUN, tmp_path / "not" / "there")
    assert asked == [tmp_path]

    def unknown(path):
        raise OSError("no such thing as free space here")

    monkeypatch.setattr(storage, "free", unknown)
    room.require(RUN, tmp_path)
