"""Where a run is kept if nobody says it: a directory of its own, which it finds again."""

import json

import pytest

from m3i_jax import config_file
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place, storage
from m3i_jax.checkpoints.checkpoint import LOCK
from m3i_jax.training import pacing, placing
from m3i_jax.training.config import Config


def config(**changes):
    data = config_file.load("digit_scenes/mae").to_dict()
    return Config.of({**data, **changes})


def started(workdir, made_by, *, steps=()):
    """A work directory as a start leaves it, with checkpoints of these steps."""
    workdir.mkdir(parents=True)
    (workdir / "config.json").write_text(json.dumps(made_by.to_dict()))
    for step in steps:
        (place.folder(workdir) / str(step)).mkdir(parents=True)


def test_a_run_finds_its_place_again_and_meets_no_other(tmp_path):
    name, first, second = tmp_path / "mae", config(), config(batch=32, seed=1)
    assert placing.placed(name, first) == (name, ())
    started(name, first, steps=[40])
    assert placing.placed(name, first) == (name, ())
    assert placing.placed(name, config(log={"every": 1})) == (name, ()), "what any run may change"
    other = placing.placed(name, second)
    assert other.folder == tmp_path / "mae-2"
    assert other.passed == (
        f"{name} is another run (batch was 64, is now 32; seed was 0, is now 1)",
    )
    started(other.folder, second, steps=[1])
    assert placing.placed(name, second) == other
    assert placing.placed(name, config(seed=2)).folder == tmp_path / "mae-3"
    assert place.free(name) == tmp_path / "mae-3"


def test_a_start_without_a_step_keeps_its_name_only_while_it_is_there(tmp_path):
    name, second = tmp_path / "mae", config(batch=32)
    started(name, config())
    place.folder(name).mkdir()
    lock = place.folder(name) / LOCK
    assert not storage.is_held(lock) and placing.placed(name, second).folder == name
    with storage.lock(lock):
        assert storage.is_held(lock)
        assert placing.placed(name, second).folder == tmp_path / "mae-2"
        assert placing.placed(name, second, alone=False).folder == name
        assert placing.placed(name, config()).folder == name, "and is told that it is in use"


def test_what_is_changed_on_purpose_is_changed_in_the_run_that_is_there(tmp_path):
    name, longer = tmp_path / "mae", config(duration="9000 steps")
    started(name, config(), steps=[40])
    assert placing.placed(name, longer).folder == tmp_path / "mae-2"
    assert placing.placed(name, longer, deliberate=["duration"]).folder == name
    with pytest.raises(ConfigError, match="mae is another run .seed .*; --workdir says which run"):
        placing.placed(name, config(duration="9 steps", seed=3), deliberate=["duration"])


def test_minutes_are_those_that_a_run_was_asked_for(tmp_path):
    name = tmp_path / "mae"
    started(name, config(duration="1234 steps"), steps=[40])
    record = {"asked": "5 minutes", "duration": "1234 steps"}
    (name / pacing.FILE).write_text(json.dumps(record))
    assert placing.placed(name, config(duration="5 minutes")).folder == name
    other = placing.placed(name, config(duration="6 minutes"))
    assert other == (tmp_path / "mae-2", (f"{name} is another run (not of 6 minutes)",))
