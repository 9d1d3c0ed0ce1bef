"""A config in words: each block, its keys with value, default, range and meaning.

What is printed is the schema that configs are checked with (`schema.BLOCKS`), so it cannot differ.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from m3i_jax import build, meanings
from m3i_jax.ranges import described, shown
from m3i_jax.training import schema
from m3i_jax.training.config import Config

WIDTH = 100
COLUMN = 40  # where ranges begin
NONE: Mapping[str, Any] = MappingProxyType({})


def page(data: Any) -> str:
    """The whole of a config, as `Config.of` takes it, which is checked before."""
    config = Config.of(data)
    schema.check(config)
    plain, said = config.to_dict(), meanings.of(Config)
    blocks = {key for key, value in plain.items() if isinstance(value, dict)}
    lines = ["config: what a run is", *_keys(Config, plain, hidden=blocks)]
    for place in schema.places(plain):
        name, own = f" = {place.name}" if place.name else "", meanings.title(place.function)
        lines += ["", *_wrapped(f"{place.path}{name}: {said.get(place.path, own)}", "    ")]
        lines += _wrapped(f"    {own}", "    ") if name and place.path in said else []
        lines += _block(place.function, place.block, place.keywords, place.elsewhere)
    empty = [key for key in Config.__dataclass_fields__ if plain[key] == {} and _asks_nothing(key)]
    lines += ["", "left empty:"] if empty else []
    lines += [line for key in empty for line in _wrapped(f"  {key}: {said[key]}", "    ")]
    return "\n".join(lines)


def blocks() -> dict[str, str]:
    """{block of a config: what it is, in a line}; "*" is any name."""
    said = meanings.of(Config)
    return {
        name: said.get(name.removesuffix(".*")) or _of_key(name, kind.within)
        for name, kind in schema.BLOCKS.items()
    }


def functions(block: str) -> dict[str, str]:
    """{name: title} of what a block may name; {} where it is the keywords of one function."""
    offered = build.lookup(schema.BLOCKS, block, what="block of a config").functions
    return {} if callable(offered) else {name: meanings.title(fn) for name, fn in offered.items()}


def keys(block: str, *, name: str = "") -> str:
    """The keys that a block can have, with their defaults, where it names this function."""
    kind = build.lookup(schema.BLOCKS, block, what="block of a config")
    fn = kind.functions
    fn = fn if callable(fn) else build.lookup(fn, name, what=block)
    title = f"{block}{f' = {name}' if name else ''}: {meanings.title(fn)}"
    return "\n".join([*_wrapped(title, "    "), *_block(fn, kind)])


def _of_key(path: str, within: tuple[str, str] | None) -> str:
    """What a key of a block means to the first function that has it, or the one it is within."""
    block, _, key = path.removesuffix(".*").rpartition(".")
    kind = schema.BLOCKS[block]
    functions = [kind.functions] if callable(kind.functions) else [*kind.functions.values()]
    functions = [kind.functions[within[1]]] if within else functions
    readers = [kind.read_elsewhere, *functions] if kind.read_elsewhere else functions
    return next(filter(None, (meanings.of(fn).get(key) for fn in readers)), "")


def _asks_nothing(key: str) -> bool:
    """Whether a block asks for nothing where it is empty: it is optional, or one of names."""
    return key not in schema.BLOCKS or schema.BLOCKS[key].empty


def _block(
    fn: Callable,
    block: schema.Block,
    keywords: Mapping[str, Any] = NONE,
    elsewhere: Mapping[str, Any] = NONE,
) -> Iterator[str]:
    """Lines on the keys of a block, first those that are looked at beside its function."""
    if block.read_elsewhere:
        yield from _keys(block.read_elsewhere, elsewhere)
    hidden = {*block.given, *(block.read_elsewhere._fields if block.read_elsewhere else ())}
    yield from _keys(fn, keywords, hidden=hidden, filled=block.filled, lacking=block.lacking)


def _keys(fn, values, *, hidden=(), filled=NONE, lacking=NONE) -> Iterator[str]:
    """Two lines or more on every key: name, value and range; and what it means."""
    said = meanings.of(fn)
    for name, parameter in inspect.signature(fn).parameters.items():
        kind = described(parameter.annotation)
        if name in hidden or not kind:  # what no config can say
            continue
        if name in values:
            value = shown(values[name])
        elif name in filled:
            value = f"({filled[name]})"
        elif parameter.default is parameter.empty:
            value = f"({lacking.get(name, 'has to be said')})"
        else:
            value = f"{shown(parameter.default)} (default)"
        yield from _wrapped(f"{f'  {name} = {value} ':{COLUMN}} {kind}", " " * (COLUMN + 1))
        if name in said:
            yield from _wrapped(f"      {said[name]}", "      ")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
