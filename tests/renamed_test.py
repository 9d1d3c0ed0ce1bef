"""Keys that were renamed go on working, in files, on the command line and in work directories."""

import copy
import logging

import pytest

from m3i_jax import config_file, renamed
from m3i_jax.build import ConfigError
from m3i_jax.training.config import Config
from m3i_jax.training.log import guard_config

OLD = {
    "objective": {
        "name": "combine",
        "rows": {"cim": {"name": "cim", "codes": 9, "target": {"name": "ema", "beside": "x"}}},
    },
    "target": {"name": "frozen", "beside": "painter"},
    "captions": {"codes": 1},
}
NEW = {
    "objective": {
        "name": "combine",
        "methods": {
            "cim": {"name": "cim", "vocabulary": 9, "target": {"name": "ema", "extra_heads": "x"}}
        },
    },
    "target": {"name": "frozen", "extra_heads": "painter"},
    "captions": {"codes": 1},  # only where it was a key of ours
}


def test_old_keys_become_those_of_today_and_the_log_says_so(caplog):
    with caplog.at_level(logging.INFO):
        assert renamed.config(copy.deepcopy(OLD)) == NEW == renamed.config(copy.deepcopy(NEW))
    said = [record.message for record in caplog.records]
    assert len(said) == 4 and "config.objective.rows is called 'methods' now" in said
    assert "config.objective.methods.cim.codes is called 'vocabulary' now" in said


def test_both_names_of_a_key_are_refused():
    with pytest.raises(ConfigError, match="objective.codes is called 'vocabulary' now, and the bl"):
        renamed.config({"objective": {"codes": 1, "vocabulary": 2}})


@pytest.mark.parametrize(
    "old, new",
    [
        ("objective.codes", "objective.vocabulary"),
        ("objective.rows.mae.target.beside", "objective.methods.mae.target.extra_heads"),
        ("objective.rows.codes.hidden", "objective.methods.codes.hidden"),  # a name of the user's
        ("encoder.width", "encoder.width"),
    ],
)
def test_a_dotted_key_is_that_of_today(old, new):
    assert renamed.key(old) == new


def test_a_flag_may_say_the_old_key_of_a_file_that_says_the_new():
    words, config = config_file.check_overrides(
        ["p", "--config.objective.codes=12", "--noconfig.objective.rows"], "digit_scenes/beit"
    )
    assert words[1:] == ["--config.objective.vocabulary=12", "--noconfig.objective.methods"]
    assert "vocabulary" in config.objective


def test_a_config_and_a_work_directory_of_before_are_those_of_today(tmp_path):
    new = config_file.load("digit_scenes/beit").to_dict()
    old = new | {"objective": {**new["objective"]}}
    old["objective"]["codes"] = old["objective"].pop("vocabulary")
    assert Config.of(old) == Config.of(new)
    whole = Config.of(new).to_dict()
    whole["objective"] = old["objective"]
    guard_config(tmp_path, whole, bound=False)
    assert guard_config(tmp_path, Config.of(new)) == []
