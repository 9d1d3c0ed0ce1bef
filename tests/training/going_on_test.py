"""What may be changed on purpose in a run that goes on, and what is said of it."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import going_on


def test_changes_are_keys_with_values():
    said = ["duration=2000 steps", "config.optimizer.lr=3e-4"]
    assert going_on.parsed(said) == {"duration": "2000 steps", "optimizer.lr": "3e-4"}
    for wrong, sentence in (
        ("duration", "expected KEY=VALUE"),
        ("objective.name=mae", "what is learnt would be another run"),
        ("durations=3 steps", "did you mean 'duration'"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            going_on.parsed([wrong])


def test_only_what_was_asked_for_lets_the_data_change():
    changed = ["batch was 8, is now 16", "length was 40, is now 60", "seed was 0, is now 1"]
    assert going_on.refused(changed, ()) == changed
    assert going_on.refused(changed, ("batch", "data.root")) == changed[2:]


def test_a_batch_of_another_size_begins_behind_what_was_drawn():
    for sample, batch, begins in ((96, 64, 128), (128, 64, 128), (0, 7, 0)):
        assert going_on.position({"sample": sample, "x": 1}, batch=batch) == {
            "sample": begins,
            "x": 1,
        }


def test_each_meaning_is_said_once_with_its_figures():
    said = list(going_on.meanings(("duration", "warmup", "batch"), step=50, total=200))
    assert len(said) == 2 and "over 200 steps, and step 50 is at 25 % of them" in said[0]
