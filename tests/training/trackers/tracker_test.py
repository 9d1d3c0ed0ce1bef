"""The identity of a run in a tracker: kept where it goes on, another one where it starts anew."""

import os

import pytest

from m3i_jax.training.trackers.tracker import TrackedRun, flat


def test_a_run_that_goes_on_is_the_same_one_and_one_that_starts_is_new(tmp_path):
    first = TrackedRun(tmp_path, 0, {}).own_identity("wandb")
    again = TrackedRun(tmp_path, 5, {})
    assert again.own_identity("wandb") == again.identity("wandb") == first
    assert again.identity("mlflow") == ""
    anew = TrackedRun(tmp_path, 0, {})
    assert anew.identity("wandb") == "" and anew.own_identity("wandb") != first


@pytest.mark.parametrize("content", [b"", b"a b", b"../../x", b"\xff" * 300])
def test_what_is_no_identity_is_none(tmp_path, content):
    (tmp_path / "trackers").mkdir()
    (tmp_path / "trackers" / "wandb").write_bytes(content)
    assert TrackedRun(tmp_path, 5, {}).identity("wandb") == ""


def test_nothing_waits_for_a_pipe(tmp_path):
    (tmp_path / "trackers").mkdir()
    os.mkfifo(tmp_path / "trackers" / "wandb")
    with pytest.raises(OSError, match="no ordinary file"):
        TrackedRun(tmp_path, 5, {}).identity("wandb")


def test_configs_are_flat():
    assert flat({"a": {"b": 1, "c": {}}, "d": [2]}) == {"a.b": 1, "d": [2]}
