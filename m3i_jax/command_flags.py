"""Flags of a command, as values: they are defined when their command runs.

absl knows one flag of a name, and two commands that both have a --workdir could not be imported
into one process if each defined its flags when it is.
"""

import functools
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags

from m3i_jax.build import ConfigError
from m3i_jax.ranges import refusal, shown
from m3i_jax.texts import Filled, OneOf

# What a flag expects, by what absl calls its type; the one text that may be wrong is a block's.
KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "minutes": "minutes, such as 90, or a time, such as 45s, 30m, 2h or 1h30m",
    "string": "a block, such as {'name': 'adamw'}",
}
TIME = re.compile(
    r"(?:([\d.]+) ?h(?:ours?)?)? ?(?:([\d.]+) ?(?:m|min|minutes?)?)?|([\d.]+) ?s(?:ec(?:onds?)?)?"
)


class Flag(NamedTuple):
    """One flag.

    define: of absl, such as `flags.DEFINE_string`.  name, rest: its first, and its other arguments.
    options: its keywords.  limits: annotation that values are held to (absl's own bounds let NaN
      pass); None = none.
    required: whether a command line without it is refused, see `require`.
    """

    define: Callable[..., flags.FlagHolder]
    name: str
    rest: tuple
    options: dict[str, Any]
    limits: Any
    required: bool = False

    @property
    def value(self) -> Any:
        """What the command line says; the default where none was read."""
        return flags.FLAGS[self.name].value if self.name in flags.FLAGS else self.rest[0]

    def with_default(self, value: Any) -> "Flag":
        """The same flag of another command, which has another default."""
        return self._replace(rest=(value, *self.rest[1:]))


def text(
    name: str,
    default: str | None,
    meaning: str,
    *,
    required: bool = False,
    limits: Any = Filled,
) -> Flag:
    """A flag whose value is a text: --workdir=$W without a W is none, and no folder."""
    return Flag(flags.DEFINE_string, name, (default, meaning), {}, limits, required)


def whole(name: str, default: int | None, meaning: str, *, limits: Any) -> Flag:
    """A flag whose value is a whole number, held to a range as those of configs are."""
    return Flag(flags.DEFINE_integer, name, (default, meaning), {}, limits)


def number(name: str, default: float | None, meaning: str, *, limits: Any) -> Flag:
    """A flag whose value is a number, held to a range."""
    return Flag(flags.DEFINE_float, name, (default, meaning), {}, limits)


class _Minutes(flags.ArgumentParser):
    """Parses 90, 1.5h, 30m, 1h30m and 45s."""

    def parse(self, argument: str | float) -> float:
        """The minutes of a text; a default is a number already."""
        match = TIME.fullmatch(str(argument).strip())
        if not match or not any(match.groups()):
            raise ValueError(f"no time: {argument}")
        hours, minutes, seconds = (float(number or 0) for number in match.groups())
        return 60 * hours + minutes + seconds / 60

    def flag_type(self) -> str:
        """What it is called in `KINDS`."""
        return "minutes"


def minutes(name: str, default: float | None, meaning: str, *, limits: Any) -> Flag:
    """A flag whose value is a time in minutes, also said as 2h, 1h30m or 45s; held to a range."""
    define = functools.partial(flags.DEFINE, _Minutes())
    return Flag(define, name, (default, meaning), {}, limits)


def switch(name: str, meaning: str, *, on: bool = False) -> Flag:
    """A flag that is on where it is said; one that is `on` anyway is off by --noNAME."""
    return Flag(flags.DEFINE_bool, name, (on, meaning), {}, None)


def one_of(name: str, default: str | None, values: Sequence[str], meaning: str) -> Flag:
    """A flag whose value is one of some words."""
    return Flag(flags.DEFINE_enum, name, (default, list(values), meaning), {}, None)


def texts(name: str, default: Sequence[str], meaning: str) -> Flag:
    """A flag whose value is texts with commas between them."""
    return Flag(flags.DEFINE_list, name, (list(default), meaning), {}, None)


def repeated(name: str, default: Sequence[str], meaning: str) -> Flag:
    """A flag that may be said several times, each time with a text that is not empty."""
    return Flag(flags.DEFINE_multi_string, name, (list(default), meaning), {}, Filled)


def of(module: ModuleType) -> list[Flag]:
    """The flags of a command, and those of another one that it starts, in their order."""
    return list(_of(module, {}).values())


def _of(module: ModuleType, flags_by_name: dict[str, Flag]) -> dict[str, Flag]:
    """Its own first, then those of the modules of its package that it uses, and that these use."""
    for value in vars(module).values():
        if isinstance(value, Flag):
            flags_by_name.setdefault(value.name, value)
    for other in vars(module).values():
        if isinstance(other, ModuleType) and other.__name__.startswith(f"{module.__package__}."):
            _of(other, flags_by_name)
    return flags_by_name


def define(wanted: Iterable[Flag], *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines flags, each with what holds its values."""
    for one in wanted:
        one.define(one.name, *one.rest, **one.options, flag_values=flag_values)
        if one.limits is not None:
            hold(one.name, one.limits, flag_values=flag_values)


def said(
    wanted: Iterable[Flag], argv: Sequence[str], *, switches: Collection[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """(name -> value of flags that a command line says or leaves out, the words between flags).

    Read ahead: nothing is defined for the program by it.
    switches: names of further flags without a value; any other takes the next word.

    Raises:
      ConfigError: a value that a flag does not take.
      flags.Error: one that its limits refuse.
    """
    ahead = flags.FlagValues()
    define(wanted, flag_values=ahead)
    check(argv, flag_values=ahead)
    names = list(ahead)
    _, *left = ahead(argv, known_only=True)
    takes = lambda w: w.startswith("-") and "=" not in w and w.lstrip("-") not in switches  # noqa: E731
    words = [w for w, before in zip(left, ["", *left], strict=False)
             if not w.startswith("-") and not takes(before)]  # fmt: skip
    return {name: ahead[name].value for name in names}, words


def check(argv: Sequence[str], *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Refuses values that flags do not take, and a flag that would take another one for its value.

    Raises:
      ConfigError: naming what is expected.
    """
    words = [*itertools.takewhile("--".__ne__, argv[1:]), "--"]
    for word, after in itertools.pairwise(words):
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or name not in flag_values or name == "config":
            continue
        if equals:
            read(flag_values[name], value)
        elif not flag_values[name].boolean and after.startswith("--"):
            raise ConfigError(f"--{name} lacks its value; expected --{name}=VALUE")
        elif not flag_values[name].boolean:
            read(flag_values[name], after)


def read(flag: flags.Flag, text: str) -> Any:
    """The value that a flag makes of a text.

    Raises:
      ConfigError: none; the message says what it expects.
    """
    try:
        return flag.parser.parse(text)
    except (ValueError, TypeError) as error:
        expected = _expected(flag, text) or str(error)
        raise ConfigError(f"--{flag.name} is {shown(text)}, expected {expected}") from error


def _expected(flag: flags.Flag, text: str) -> str:
    """The end of a sentence about another text; "" where nobody knows."""
    parser = flag.parser
    if isinstance(parser, flags.EnumParser):
        return OneOf(*parser.enum_values).expected(text)
    words = KINDS.get(parser.flag_type(), "")
    example = isinstance(flag.value, int | float) and not isinstance(flag.value, bool)
    return words + (f", such as {flag.value}" if words and example else "")


def take(words: Sequence[str], flag: Flag, *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Gives a flag the words between the flags of a command line as its values.

    Raises:
      ConfigError: it has one value, and more are said; or it does not take the word.
      flags.Error: a word that its limits refuse.
    """
    there = flag_values[flag.name]
    before = there.value if there.present else None
    if isinstance(there, flags.MultiFlag):
        value = [*words, *(before or [])]
    elif len(words) > 1 or words and before is not None:
        other = f"'{words[1]}'" if len(words) > 1 else f"--{flag.name}={before}"
        raise ConfigError(f"'{words[0]}' and {other} both say what --{flag.name} is; give one, and "
                          "what else is meant by its flag")  # fmt: skip
    else:
        value = read(there, words[0]) if words else there.value
    setattr(flag_values, flag.name, value)  # which holds it to its limits


def require(wanted: Iterable[Flag], *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Refuses a command line that leaves out what a command cannot do without.

    Raises:
      ConfigError: naming the first such flag, and what it is.
    """
    for one in wanted:
        if one.required and flag_values[one.name].value is None:
            raise ConfigError(f"--{one.name} is needed, and was not given: {_in_a_sentence(one)}")


def _in_a_sentence(flag: Flag) -> str:
    meaning = flag.rest[1].removeprefix("The same as a word: ")
    return (meaning[:1].lower() + meaning[1:]).rstrip(".")


def hold(name: str, annotation: Any, *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Holds the value of a flag, or each of several, to a range."""

    def inside(value: Any) -> bool:
        for one in value if isinstance(value, list) else [value]:
            if one is not None and (wrong := refusal(one, annotation, f"--{name}")):
                raise flags.ValidationError(wrong)
        return True

    flags.register_validator(name, inside, flag_values=flag_values)
