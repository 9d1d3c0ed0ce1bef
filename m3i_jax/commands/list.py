"""Lists what there is: configs, their blocks, methods, encoders, sources, tasks, measures, ...

    m3i list                    # how many of each
    m3i list configs imagenet   # those whose name has the word
    m3i list blocks optimizer   # what it may name; or the keys that it has
    m3i list blocks optimizer adamw
    m3i list methods --markdown

`methods --markdown` is the table of the README: what is predicted of what, by which distribution,
and what keeps the target from collapsing.
"""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from m3i_jax import cli, shipped
from m3i_jax.build import ConfigError, nearest
from m3i_jax.command_flags import switch

MARKDOWN = switch("markdown", "Methods as the table of their terms.")


def _configs() -> dict[str, str]:
    return {
        name: _title(ast.get_docstring(ast.parse(path.read_text())))
        for name, path in shipped.names().items()
    }


def _blocks() -> dict[str, str]:
    from m3i_jax.training import show

    return show.blocks()


def _methods() -> dict[str, str]:
    from m3i_jax import methods

    return _titles(methods.METHODS)


def _encoders() -> dict[str, str]:
    from m3i_jax import encoders

    return {name: _keywords(encoders.variant(name)) for name in encoders.names()}


def _decoders() -> dict[str, str]:
    from m3i_jax import decoders

    return _titles({name: decoders.variant(name) for name in decoders.names()})


def _sources() -> dict[str, str]:
    from m3i_jax.data.sources import SOURCES

    return _titles(SOURCES)


def _tasks() -> dict[str, str]:
    from m3i_jax.evaluation.tasks import TASKS

    return _titles(TASKS)


def _measures() -> dict[str, str]:
    from m3i_jax.analysis.measures import MEASURES

    return _titles(MEASURES)


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "configs": _configs,
    "blocks": _blocks,
    "methods": _methods,
    "encoders": _encoders,
    "decoders": _decoders,
    "sources": _sources,
    "tasks": _tasks,
    "measures": _measures,
}


def main(*words: str) -> None:
    """Prints one kind, or how many there are of each."""
    if MARKDOWN.value and words[:1] != ("methods",):
        raise ConfigError("--markdown is of 'list methods'")
    if MARKDOWN.value:
        from m3i_jax import methods

        return print(methods.table())
    if not words:
        return print("\n".join(f"{kind:10}{len(of()):4}" for kind, of in KINDS.items()))
    kind, *within = words
    if kind not in KINDS:
        raise ConfigError(f"there is no list of '{kind}'{nearest(kind, KINDS)}")
    if kind == "blocks" and within:
        return _block(*within)
    there = KINDS[kind]()
    listed = {name: title for name, title in there.items() if all(w in name for w in within)}
    if not listed:
        raise ConfigError(f"none of the {kind} has '{' '.join(within)}' in its name")
    return _table(listed)


def _block(block: str, *words: str) -> None:
    """Prints what a block of a config may name, or the keys that it has then."""
    from m3i_jax.training import show

    functions = show.functions(block)
    if len(words) > bool(functions):
        raise ConfigError(f"'{words[-1]}' is one word too many; a block has keys, named once")
    if functions and not words:
        return _table(functions)
    return print(show.keys(block, name="".join(words)))


def _table(lines: Mapping[str, str]) -> None:
    width = max(map(len, lines))
    print("\n".join(f"{name:{width}}  {title}".rstrip() for name, title in lines.items()))


def _titles(functions: Mapping[str, Any]) -> dict[str, str]:
    """Name -> first line of the docstring; of a variant, the function that it is a variant of."""
    return {name: _title(inspect.getdoc(_function(fn))) for name, fn in functions.items()}


def _function(fn: Any) -> Any:
    return getattr(fn, "func", fn)  # a partial


def _keywords(fn: Any) -> str:
    """What a variant of an encoder is: its module, and the fields that make it the variant."""
    fields = ", ".join(f"{key}={value}" for key, value in getattr(fn, "keywords", {}).items())
    return f"{_function(fn).__name__} {fields}".strip()


def _title(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def run() -> None:
    """The command."""
    cli.run(main, words=True)
