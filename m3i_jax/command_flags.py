"""Flags of a command, as values: they are defined when their command runs.

absl knows one flag of a name, and two commands that both have a --workdir could not be imported
into one process if each defined its flags when it is.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from absl import flags

from m3i_jax.ranges import refusal
from m3i_jax.texts import Filled


class Flag(NamedTuple):
    """One flag.

    define: of absl, such as `flags.DEFINE_string`.  name, rest: its first, and its other arguments.
    options: its keywords.  limits: annotation that values are held to (absl's own bounds let NaN
      pass); None = none.
    """

    define: Callable[..., flags.FlagHolder]
    name: str
    rest: tuple
    options: dict[str, Any]
    limits: Any

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
    return Flag(flags.DEFINE_string, name, (default, meaning), {"required": required}, limits)


def whole(name: str, default: int | None, meaning: str, *, limits: Any) -> Flag:
    """A flag whose value is a whole number, held to a range as those of configs are."""
    return Flag(flags.DEFINE_integer, name, (default, meaning), {}, limits)


def number(name: str, default: float | None, meaning: str, *, limits: Any) -> Flag:
    """A flag whose value is a number, held to a range."""
    return Flag(flags.DEFINE_float, name, (default, meaning), {}, limits)


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
      flags.Error: a value that a flag does not take.
    """
    ahead = flags.FlagValues()
    define(wanted, flag_values=ahead)
    names = list(ahead)
    _, *left = ahead(argv, known_only=True)
    takes = lambda w: w.startswith("-") and "=" not in w and w.lstrip("-") not in switches  # noqa: E731
    words = [w for w, before in zip(left, ["", *left], strict=False)
             if not w.startswith("-") and not takes(before)]  # fmt: skip
    return {name: ahead[name].value for name in names}, words


def hold(name: str, annotation: Any, *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Holds the value of a flag, or each of several, to a range."""

    def inside(value: Any) -> bool:
        for one in value if isinstance(value, list) else [value]:
            if one is not None and (wrong := refusal(one, annotation, f"--{name}")):
                raise flags.ValidationError(wrong)
        return True

    flags.register_validator(name, inside, flag_values=flag_values)
