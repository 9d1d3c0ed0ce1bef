"""Flags are values until their command runs, so that commands can share a process."""

import subprocess
import sys
from types import ModuleType

import pytest
from absl import flags

from m3i_jax import __main__, command_flags, ranges
from m3i_jax.build import ConfigError


def module(name, **values):
    """A module that has these values."""
    made = ModuleType(name)
    vars(made).update(values)
    return made


def test_all_commands_are_imported_into_one_process():
    names = ", ".join(f"m3i_jax.commands.{verb}" for verb in __main__.verbs())
    code = f"import {names}; from absl import flags; print('workdir' in flags.FLAGS)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


def test_a_flag_has_its_default_until_a_command_line_is_read():
    many = command_flags.whole("how_many_there_are", 3, "How many.", limits=ranges.Count)
    assert many.value == 3 and many.with_default(5).value == 5


def test_a_command_has_its_own_flags_and_those_of_the_one_that_it_starts():
    one = command_flags.text("place", "here", "Where.")
    first = module("shop.commands.first", PLACE=one, ON=command_flags.switch("on", "Whether."))
    second = module("shop.commands.second", first=first, PLACE=one.with_default("there"))
    second.__package__ = "shop.commands"
    assert [(flag.name, flag.value) for flag in command_flags.of(second)] == [
        ("place", "there"),
        ("on", False),
    ]


@pytest.mark.parametrize(
    "flag",
    [command_flags.text("a", "runs", "A."), command_flags.repeated("a", ["b"], "A.")],
)
def test_a_variable_of_the_shell_that_is_not_set_is_no_folder(flag):
    for words in (["--a="], ["--a=x", "--a= "]):
        values = flags.FlagValues()
        command_flags.define([flag], flag_values=values)
        with pytest.raises(flags.Error, match="--a is '.*', expected a text that is not empty"):
            values(["program", *words])


@pytest.mark.parametrize(
    "flag, words, value",
    [
        (command_flags.text("a", None, "A."), ["--a=x"], "x"),
        (command_flags.whole("a", 1, "A.", limits=ranges.Count), ["--a=2"], 2),
        (command_flags.switch("a", "A."), ["--noa"], False),
        (command_flags.minutes("a", 30.0, "A.", limits=ranges.Positive), [], 30.0),
        (command_flags.minutes("a", None, "A.", limits=ranges.Positive), ["--a=2.5"], 2.5),
        (command_flags.minutes("a", None, "A.", limits=ranges.Positive), ["--a=30m"], 30.0),
        (command_flags.minutes("a", None, "A.", limits=ranges.Positive), ["--a=45s"], 0.75),
        (command_flags.minutes("a", None, "A.", limits=ranges.Positive), ["--a=1h30m"], 90.0),
        (
            command_flags.minutes("a", None, "A.", limits=ranges.Positive),
            ["--a", "1.5 hours"],
            90.0,
        ),
        (command_flags.one_of("a", None, ["b", "c"], "A."), ["--a=c"], "c"),
        (command_flags.texts("a", [], "A."), ["--a=b,c"], ["b", "c"]),
        (command_flags.repeated("a", ["b"], "A."), ["--a=b,c", "--a=d"], ["b,c", "d"]),
    ],
)
def test_a_flag_is_what_the_line_says(flag, words, value):
    values = flags.FlagValues()
    command_flags.define([flag], flag_values=values)
    values(["program", *words])
    assert values["a"].value == value


@pytest.mark.parametrize(
    "flag, text, sentence",
    [
        (command_flags.whole("a", 64, "A.", limits=ranges.Count), "many",
         "--a is 'many', expected a whole number, such as 64$"),
        (command_flags.number("a", None, "A.", limits=ranges.Positive), "many",
         "--a is 'many', expected a number$"),
        (command_flags.minutes("a", None, "A.", limits=ranges.Positive), "1 day",
         "--a is '1 day', expected minutes, such as 90, or a time, such as 45s, 30m, 2h or 1h30m$"),
        (command_flags.switch("a", "A."), "maybe", "--a is 'maybe', expected true or false$"),
        (command_flags.one_of("a", None, ["mean", "cls"], "A."), "maen",
         "--a is 'maen', expected one of mean, cls; did you mean 'mean'"),
    ],
)  # fmt: skip
def test_a_value_that_a_flag_does_not_take_is_refused_in_words(flag, text, sentence):
    values = flags.FlagValues()
    command_flags.define([flag], flag_values=values)
    with pytest.raises(ConfigError, match=sentence):
        command_flags.check(["program", f"--a={text}"], flag_values=values)
    command_flags.check(["program", "--", f"--a={text}"], flag_values=values)  # another's


def test_a_flag_is_held_to_its_range():
    values = flags.FlagValues()
    command_flags.define(
        [command_flags.whole("count", 1, "A count.", limits=ranges.Count)], flag_values=values
    )
    values(["program", "--count=5"])
    with pytest.raises(flags.Error, match="--count is 0, expected"):
        values(["program", "--count=0"])
    flags.DEFINE_float("rate", 1.0, "A rate.", flag_values=values)
    command_flags.hold("rate", ranges.Positive, flag_values=values)
    for wrong in ("nan", "inf", "0", "-1"):
        with pytest.raises(flags.Error, match="--rate is"):
            values(["program", f"--rate={wrong}"])


def test_what_is_required_has_to_be_said():
    values = flags.FlagValues()
    flag = command_flags.text("a", None, "A folder.", required=True)
    command_flags.define([flag], flag_values=values)
    values(["program"])
    with pytest.raises(ConfigError, match="--a is needed, and was not given: a folder$"):
        command_flags.require([flag], flag_values=values)
    command_flags.take(["here"], flag, flag_values=values)
    command_flags.require([flag], flag_values=values)


def test_words_are_values_of_a_flag():
    one, many = command_flags.text("one", None, "A."), command_flags.repeated("many", [], "A.")
    kind = command_flags.one_of("kind", "b", ["b", "c"], "A.")

    def taken(flag, words, line=()):
        values = flags.FlagValues()
        command_flags.define([one, many, kind], flag_values=values)
        values(["program", *line])
        command_flags.take(words, flag, flag_values=values)
        return values[flag.name].value

    assert taken(one, []) is None and taken(kind, []) == "b"
    assert taken(one, ["x"]) == "x" and taken(many, ["x", "y"], ["--many=z"]) == ["x", "y", "z"]
    with pytest.raises(ConfigError, match="'x' and 'y' both say what --one is; give one"):
        taken(one, ["x", "y"])
    with pytest.raises(ConfigError, match="'x' and --one=y both say"):
        taken(one, ["x"], ["--one=y"])
    for flag in (one, many):
        with pytest.raises(flags.Error, match="a text that is not empty"):
            taken(flag, [""])
    with pytest.raises(ConfigError, match="--kind is 'x', expected one of b, c"):
        taken(kind, ["x"])
