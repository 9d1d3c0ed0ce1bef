"""`{name, **kwargs}` is one function call: how plain data becomes objects.

The signature of the function is the schema. Unknown, misspelt, mistyped or non-finite values are
refused before anything runs, with the nearest right name, so no key of a config can be dead.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from m3i_jax.ranges import refusal, shown
from m3i_jax.spelling import likeliest, meant, nearest


class UserError(Exception):
    """What the user can mend: a program ends with this sentence and `status`, without a traceback.

    The statuses are those of sysexits.h; `cli` lists them.
    """

    status = 1


class ConfigError(UserError, ValueError):
    """A config that cannot be run; the message is a sentence for the user."""

    status = 2


class UnknownKey(ConfigError):
    """A key that a block does not take; `sentence` finds the right one in the whole config, too."""

    def __init__(self, what: str, key: str, names: Iterable[str]):
        self.what, self.key, self.names = what, key, tuple(names)
        super().__init__(self.sentence({}))

    def sentence(self, config: Mapping[str, Any]) -> str:
        """The sentence, with a hint that holds for this config."""
        hint = meant(self.key, self.names, block=self.what, config=config)
        return f"{self.what} has no key {shown(self.key)}{hint}"


@contextlib.contextmanager
def knowing(config: Mapping[str, Any]) -> Iterator[None]:
    """Inside, keys that a block does not have are looked for in the other blocks of a config."""
    try:
        yield
    except UnknownKey as error:
        raise ConfigError(error.sentence(config)) from error


@contextlib.contextmanager
def said_of(what: str) -> Iterator[None]:
    """Inside, what a part finds wrong with itself is said of the block that it is made from."""
    try:
        yield
    except ConfigError as error:
        raise (ConfigError(f"{what}: {error}") if what.startswith("config.") else error) from None


def offered(module: Any) -> dict[str, Callable]:
    """Public functions of a module (its `__all__`, or what it defines itself); a dict passes."""
    if isinstance(module, Mapping):
        return dict(module)
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    ]
    return {name: getattr(module, name) for name in names}


def lookup(module: Any, name: str, *, what: str) -> Callable:
    """The function called `name` in `module`, or a ConfigError naming the nearest one."""
    functions = offered(module)
    if not isinstance(name, str) or name not in functions:
        raise ConfigError(f"unknown {what} {shown(name)}{nearest(str(name), functions)}")
    return functions[name]


def call(
    fn: Callable, kwargs: Mapping[str, Any], *, what: str, others: Iterable[str] = (), **given: Any
) -> Any:
    """Calls `fn(**given, **kwargs)` after checking `kwargs` against its signature.

    Args:
      fn: the function; its parameter names and annotations are the schema.
      kwargs: plain data from a config.
      what: how to name the block in errors, such as `config.objective`.
      others: keys of the block that somebody else has read, of which one may be misspelt.
      **given: arguments that the program supplies and the config may not.
    """
    check(fn, kwargs, what=what, given=given, others=others)
    return made(fn, kwargs, what=what, **given)


def made(
    fn: Callable, kwargs: Mapping[str, Any], *, what: str, others: Iterable[str] = (), **given: Any
) -> Any:
    """As `call`, of what has been checked; ValueErrors of `fn` are ConfigErrors of `what`."""
    try:
        return fn(**given, **kwargs)
    except ValueError as error:
        if isinstance(error, UserError):
            raise
        raise ConfigError(f"{what}: {error}") from error


def check(
    fn: Callable,
    kwargs: Mapping[str, Any],
    *,
    what: str,
    given: Iterable[str] = (),
    others: Iterable[str] = (),
) -> None:
    """Refuses what `call` would refuse, without calling `fn`; `given` are names only."""
    given = tuple(given)
    others = (*others, *{"name"}.intersection(given))  # a field of every module
    parameters = inspect.signature(fn).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    allowed = [n for n, p in parameters.items() if n not in given and p.kind is not p.VAR_KEYWORD]
    for key, value in kwargs.items():
        if key not in allowed and not (open_ended and key not in given):
            raise UnknownKey(what, key, [*allowed, *others])
        annotation = parameters[key].annotation if key in parameters else Any
        if wrong := refusal(value, annotation, f"{what}.{key}"):
            raise ConfigError(wrong)
    missing = [
        n
        for n, p in parameters.items()
        if p.default is p.empty
        and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        and n not in given
        and n not in kwargs
    ]
    if missing:
        raise ConfigError(f"{what} lacks {', '.join(repr(m) for m in missing)}")


def build(
    module: Any,
    block: Mapping[str, Any],
    *,
    what: str,
    others: Iterable[str] = (),
    make: Callable = call,
    **given: Any,
) -> Any:
    """Calls the function of `module` that `block["name"]` names with the rest of the block.

    make: `call`, or `made` for a block that has been checked.
    """
    fn, kwargs = choose(module, block, what=what)
    return make(fn, kwargs, what=what, others=("name", *others), **given)


def choose(module: Any, block: Mapping[str, Any], *, what: str) -> tuple[Callable, dict[str, Any]]:
    """The function of `module` that `block["name"]` names, and the rest of the block."""
    if not hasattr(block, "keys"):  # a ConfigDict is no Mapping
        raise ConfigError(f"{what} is {shown(block)}, expected a block of keys")
    kwargs = dict(block)
    if "name" not in kwargs:
        slip = next((key for key in kwargs if likeliest(key, ["name"])), None)
        if slip is not None:
            raise UnknownKey(what, slip, ["name"])
        raise ConfigError(f"{what} lacks 'name'{nearest('', offered(module))}")
    return lookup(module, kwargs.pop("name"), what=what), kwargs
