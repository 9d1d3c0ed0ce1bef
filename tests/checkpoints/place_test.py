"""A path names a work directory, or one checkpoint step of it."""

from pathlib import Path

import pytest

from m3i_jax.checkpoints import place


@pytest.mark.parametrize(
    "path, parted",
    [
        ("runs/a", ("runs/a", None)),
        ("runs/a/checkpoints/1500", ("runs/a", 1500)),
        ("runs/a/checkpoints", ("runs/a/checkpoints", None)),
        ("runs/a/checkpoints/1500.tmp", ("runs/a/checkpoints/1500.tmp", None)),
        ("checkpoints/7", (".", 7)),
        ("runs/7", ("runs/7", None)),
    ],
)
def test_a_path_is_parted_into_work_directory_and_step(path, parted):
    assert place.parted(path) == (Path(parted[0]), parted[1])


def test_a_step_is_found_again_where_checkpoints_lie():
    step = place.folder("runs/a") / "3"
    assert place.parted(step) == (Path("runs/a"), 3)


def test_steps_are_those_of_the_folders_with_a_number(tmp_path):
    assert place.steps(tmp_path) == []
    for name in ("100", "20", "30.saving"):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert place.steps(tmp_path) == [20, 100]
