"""`NAME:KEY=VALUE,KEY=VALUE`: how tasks, models and data sets are written on a command line."""

import ast
import re
from pathlib import Path
from typing import Any

from m3i_jax.build import ConfigError

OPEN, CLOSE = "([{", ")]}"
# Behind the name, a colon and the first setting: paths may have colons, too.
NAMED = re.compile(r"(?P<name>[^:]*(?::(?![A-Za-z_]\w*\s*=)[^:]*)*):(?P<settings>\s*\w+\s*=.*)")
# Words and numbers in brackets, with a comma.
SEVERAL = re.compile(r"[(\[]([\w.+\s-]+,[\w.+,\s-]*)[)\]]")


def parsed(text: str, *, what: str) -> tuple[str, dict[str, Any]]:
    """("knn", {"k": (1, 20)}) of "knn:k=(1,20)"; what is a path that is there has no settings.

    what: the flag, for sentences.

    Raises:
      ConfigError: a setting without a value.
    """
    text = text.strip()
    if Path(text).exists():
        return text, {}
    if (match := NAMED.fullmatch(text)) is None:
        name, colon, rest = text.partition(":")
        if colon and re.fullmatch(r"\w+", rest):
            raise ConfigError(f"{what} is '{text}', expected {name}:SETTING=VALUE,SETTING=VALUE")
        return text, {}
    name, settings = match["name"].strip(), {}
    for setting in filter(None, map(str.strip, _pieces(match["settings"]))):
        key, equals, value = setting.partition("=")
        if not equals:
            raise ConfigError(f"{what} is '{text}', expected {name}:SETTING=VALUE,SETTING=VALUE")
        settings[key.strip()] = _value(value.strip())
    return name, settings


def blocks(text: str, *, what: str) -> list[dict[str, Any]]:
    """Blocks {name, **settings} of "linear,knn:k=(1,20),temperature=0.1,ncm".

    A setting belongs to the name that stands before it.
    what: the flag, for sentences.

    Raises:
      ConfigError: a setting without a value or without a name.
    """
    several: list[str] = []
    for part in filter(None, map(str.strip, _pieces(text))):
        before, equals, _ = part.partition("=")
        if not equals or ":" in before:
            several.append(part)
        elif several and ":" in several[-1]:
            several[-1] += f",{part}"
        else:
            right = f"{several[-1] if several else 'NAME'}:{part}"
            raise ConfigError(f"{what} is '{text}', but '{part}' is of no name; expected {right}")
    named = (parsed(one, what=what) for one in several)
    return [{"name": name, **settings} for name, settings in named]


def _pieces(text: str) -> list[str]:
    """A text parted at its commas, but for those inside brackets."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter in OPEN) - (letter in CLOSE)
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def _value(text: str) -> Any:
    """A number, a tuple or a list as Python writes them, words in it with quotes or without; any
    other text is itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        if (several := SEVERAL.fullmatch(text)) is None:
            return text
        return tuple(_value(word) for word in map(str.strip, several[1].split(",")) if word)
