"""Steps of a directory are what their folders are called, and nothing of them is taken on trust."""

import shutil

import numpy as np
import pytest

from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.faults import CheckpointError, Damage, Mismatch
from m3i_jax.checkpoints.steps import Steps


@pytest.fixture
def steps(tmp_path):
    """Steps 2 and 10, sealed, and names that are none."""
    with Checkpoints(tmp_path) as kept:
        for step in (2, 10):
            kept.save(step, {"online": {"x": np.float32([step, 1])}}, {"of": step}, wait=True)
    (tmp_path / "11.saving").mkdir()
    (tmp_path / "12").write_text("a file")
    return Steps(tmp_path)


def test_what_is_there_in_order_and_in_words(steps, tmp_path):
    assert steps.numbers() == [2, 10] and steps.said() == "2, 10"
    empty = Steps(tmp_path / "nowhere")
    assert empty.numbers() == [] and empty.said() == "none"


def test_items_and_meta_of_a_step(steps):
    wanted = {"online": {"x": np.empty(2, np.float32)}}
    found = steps.load(10, wanted)
    np.testing.assert_array_equal(found.items["online"]["x"], [10, 1])
    np.testing.assert_array_equal(steps.item(2, "online")["x"], [2, 1])
    assert found.meta == steps.manifest(10, ())["meta"] == {"of": 10}
    with pytest.raises(Mismatch, match="step 2 has no item 'ema', only online"):
        steps.item(2, "ema")
    with pytest.raises(Mismatch, match=r"'y' is not in the checkpoint"):
        steps.load(10, {"online": {"y": np.empty(2, np.float32)}})


def test_a_step_under_another_name_is_none(steps):
    shutil.copytree(steps.directory / "2", steps.directory / "13")
    with pytest.raises(Damage, match="it was saved as step 2"):
        steps.verify(13)
    with pytest.raises(CheckpointError, match="step 13 is damaged.*steps on disk: 2, 10, 13"):
        steps.manifest(13, ())
