"""Keys that were renamed go on working, in files, on the command line and in work directories."""

import copy
import logging
import subprocess
import sys

import pytest

from m3i_jax import build, config_file, methods, renamed
from m3i_jax import framework as fw
from m3i_jax.build import ConfigError
from m3i_jax.framework.alike import made_of
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


MAE = {"a": {"name": "mae"}}
FORMER = [
    (methods.beit, dict(codes=16), "vocabulary", dict(vocabulary=16)),
    (methods.beit_v2, dict(codes=16), "vocabulary", dict(vocabulary=16)),
    (methods.vq_kd, dict(codes=16), "vocabulary", dict(vocabulary=16)),
    (methods.vq_vae, dict(codes=16), "vocabulary", dict(vocabulary=16)),
    (methods.cim, dict(codes=16), "vocabulary", dict(vocabulary=16)),
    (methods.siamese_words, dict(codes=16), "vocabulary", dict(vocabulary=16)),
    (methods.combine, dict(rows=MAE), "methods", dict(methods=MAE)),
]  # fmt: skip


@pytest.mark.parametrize("function, before, name, today", FORMER)
def test_an_argument_that_was_renamed_says_its_name_and_does_the_same(
    function, before, name, today
):
    (former,) = before
    with pytest.warns(DeprecationWarning, match=f"{former}=.* is called '{name}' now"):
        answer = function(**before)
    assert parts(answer) == parts(function(**today)) != parts(function(**other(today)))
    with pytest.raises(TypeError, match=f"called '{name}' now, and that is given, too"):
        function(**before, **today)
    # A config says today's key, or its former one, of which `renamed.config` makes it.
    with pytest.raises(ConfigError, match=f"has no key '{former}'"):
        build.call(function, before, what="config.it")


def parts(answer):
    """What a method, or an encoder, is made of."""
    if isinstance(answer, fw.Method):
        answer = answer.codes, answer.terms, answer.views, answer.slots
    return made_of(answer)


def other(today):
    """Another value of the argument."""
    (name, value) = next(iter(today.items()))
    return {name: {int: 17, dict: {"a": {"name": "simmim"}}}[type(value)]}


FRAMEWORK = """
import warnings
from m3i_jax import framework as fw
from m3i_jax.framework.alike import made_of
warnings.simplefilter("error")
for function, before, today in (
    (fw.dalle_tokens, dict(codes=16), dict(vocabulary=16)),
    (fw.frozen, dict(beside="painter"), dict(extra_heads="painter")),
):
    try:
        function(**before)
    except DeprecationWarning as warning:
        print(warning)
    with warnings.catch_warnings(action="ignore"):
        assert made_of(function(**before)) == made_of(function(**today)) != made_of(function())
"""


def test_so_does_one_of_the_framework():
    # A process of its own: here its calls are held to the signatures of today.
    answer = subprocess.run([sys.executable, "-c", FRAMEWORK], text=True, capture_output=True)
    assert answer.stdout.splitlines() == [
        "dalle_tokens(codes=) is called 'vocabulary' now",
        "frozen(beside=) is called 'extra_heads' now",
    ], answer.stderr


def test_the_table_answers_by_its_former_name():
    with pytest.warns(DeprecationWarning, match="methods.ROWS is called methods.METHODS"):
        assert methods.ROWS is methods.METHODS
