"""What --help prints of a command: what it does, its flags, how a config is said."""

import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Sequence

from absl import flags

from m3i_jax import command_flags, meanings

ASKED = ("--help", "-help", "-h", "--helpshort", "--helpfull")
CONFIG = """
  --config=FILE[:ARGUMENT]
    What to run: a file, or the name of a config that comes with the library
    (m3i list configs). Default: {}
  --config.BLOCK.KEY=VALUE
    A key of the config, over what the file says."""
SHOW = """  --show
    Print the config with all its keys, their defaults, ranges and meanings, and do nothing.

keys and blocks of a config (m3i list blocks shows what is in a block):"""
WIDTH = 100
REPEATED = re.compile(r";\s*repeat this option to specify a list of values")  # as absl says it


def asked(argv: Sequence[str]) -> bool:
    """Whether a command line asks for help."""
    return any(word in ASKED for word in argv[1:])


def text(main: Callable, *, config: str | None = None, schema: Callable | None = None) -> str:
    """The page of a command: the docstring of its module, and every flag with its default.

    config: default config of the command, None if it takes no config.
    schema: what a config is the keywords of.
    """
    module = sys.modules[main.__module__]
    parts = [(module.__doc__ or "").strip(), "\nflags:"]
    own, defined = command_flags.of(module), flags.FlagValues()
    command_flags.define(own, flag_values=defined)
    parts += [_flag(defined[flag.name]) for flag in own]
    if config is not None:
        parts.append(CONFIG.format(config))
    if schema is not None:
        parts += [SHOW, *_keys(schema)]
    return "\n".join(parts)


def _keys(schema: Callable) -> list[str]:
    """A line or two on each key of a config."""
    said, indent = meanings.of(schema), " " * 15
    lines = (f"  {name:12} {said.get(name, '')}" for name in inspect.signature(schema).parameters)
    return [textwrap.fill(line, WIDTH, subsequent_indent=indent) for line in lines]


def _flag(flag: flags.Flag) -> str:
    choices = "|".join(getattr(flag.parser, "enum_values", None) or ())
    value = "" if flag.boolean else f"={choices or flag.name.upper()}"
    plain = flag.default in (None, "", [], False, True)
    default = "" if plain else f" Default: {_default(flag)}"
    meaning = flag.help.removeprefix(f"<{choices}>: ")  # absl's own way to say the choices
    meaning = REPEATED.sub(" May be said several times.", meaning)
    off = "[no]" if flag.default is True else ""
    return f"  --{off}{flag.name}{value}\n    {meaning}{default}"


def _default(flag: flags.Flag) -> str:
    many = isinstance(flag.default, list)
    return " ".join(map(str, flag.default)) if many else str(flag.default)
