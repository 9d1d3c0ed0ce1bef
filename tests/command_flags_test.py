"""Flags are values until their command runs, so that commands can share a process."""

import subprocess
import sys
from types import ModuleType

import pytest
from absl import flags

from m3i_jax import __main__, command_flags, ranges


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
    command_flags.define([command_flags.text("a", None, "A.", required=True)], flag_values=values)
    with pytest.raises(flags.Error, match="--a must have a value"):
        values(["program"])
