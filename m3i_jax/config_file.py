"""Files of configs: found by path or name, run with what lies beside them, changed by flags.

A file is Python with a `get_config`. It may import what lies beside it, or else what is in our own
folder of configs, and nothing of that stays loaded.
"""

import contextlib
import difflib
import importlib.machinery
import importlib.util
import inspect
import itertools
import json
import os
import pprint
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType, TracebackType
from typing import Any

from ml_collections import ConfigDict

from m3i_jax import jsonfile, ordinary, renamed, shipped
from m3i_jax.build import ConfigError, UserError
from m3i_jax.homes import HOMES
from m3i_jax.ranges import shown
from m3i_jax.spelling import likeliest, meant, nearest

ALIKE = 0.8  # similarity of a new key to one that is there from which it counts as misspelt
# Keys that are alike and both right.
UNEXPECTED = re.compile(r"(?P<function>\w+)\(\) got an unexpected keyword argument '(?P<key>\w+)'")
WHOLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)e\+?\d{1,2}", re.IGNORECASE)
TWINS = frozenset("weight_decay weight_decay_end head heads dtype types encoder decoders".split())
# Keys that a file may leave out: those of a config, and blocks in blocks.
OPEN = re.compile(
    rf"config\.({'|'.join(HOMES[''][''].split())}|(augment|towers|decoders|weights)\.\w+"
    r"|data\.of(\.\w+){0,2}"
    r"|objective\.(target|methods(\.\w+(\.target)?)?)|optimizer\.schedule|crops\.rand_augment)"
)


def load(path: str) -> ConfigDict:
    """The config that a file's `get_config` returns; `FILE:ARG` passes ARG to it.

    The file may import what lies beside it, or else what is in our own folder of configs.

    Raises:
      ConfigError: there is no such file, or it fails; the message names the line.
    """
    name = path.partition(":")[0]
    path, _, argument = located(path).partition(":")
    if path.endswith(".json"):
        return read(path)
    if not path.endswith(".py"):
        raise ConfigError(
            f"the config file '{path}' is no Python or JSON file, whose name ends in .py or .json"
        )
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    try:
        with _importing_beside(path):
            spec.loader.exec_module(module)
            make = _maker(module, argument, name)
            config = make(argument) if argument else make()
            if not isinstance(config, Mapping | ConfigDict):
                lost = "; it lacks its 'return config'" if config is None else ""
                raise ConfigError(f"get_config of '{name}' returns {shown(config)}, expected a "
                                  f"ConfigDict{lost}")  # fmt: skip
            return renamed.config(ConfigDict(config))
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the config file '{path}' fails{_line(error, path)}: {_said(error)}"
        ) from error


def _maker(module: ModuleType, argument: str, name: str) -> Callable[..., Any]:
    """The get_config of a file, which takes the argument if there is one.

    Raises:
      ConfigError: there is none, or it wants an argument that is not given, or takes none.
    """
    make = getattr(module, "get_config", None)
    if not callable(make):
        functions = [
            defined for defined, value in vars(module).items() if inspect.isfunction(value)
        ]
        slip = likeliest("get_config", functions)
        hint = f"; did you mean '{slip}' to be it?" if slip else ""
        raise ConfigError(f"the config file '{name}' has no function get_config(){hint}")
    try:
        inspect.signature(make).bind(*([argument] if argument else []))
    except TypeError:
        said = f"get_config{inspect.signature(make)} of '{name}'"
        if argument:
            raise ConfigError(f"{said} takes no argument, and ':{argument}' is one; write "
                              f"--config={name}") from None  # fmt: skip
        raise ConfigError(f"{said} wants an argument: --config={name}:ARGUMENT gives one text, and "
                          "none where it has a default") from None  # fmt: skip
    return make


def read(path: str) -> ConfigDict:
    """The config of a JSON file, such as the config.json of a work directory.

    Raises:
      ConfigError: it is no JSON, or no block of keys.
    """
    try:
        config = jsonfile.read(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the config file '{path}' cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"the config file '{path}' holds {shown(config)}, expected a block")
    try:
        return renamed.config(ConfigDict(config))
    except AttributeError as error:  # a key that is a method of what holds it
        raise ConfigError(
            f"the config file '{path}' has a key that none can be: {error}"
        ) from error


def written(path: str, config: Mapping, *, title: str) -> None:
    """Writes plain data as a file that `load` reads, Python or JSON as its name ends.

    title: the first line of a Python file.

    Raises:
      ConfigError: the name ends in neither, or there is such a file.
    """
    if path.endswith(".json"):
        text = json.dumps(config, indent=2)
    elif path.endswith(".py"):
        body = pprint.pformat(dict(config), width=96, sort_dicts=False)
        indented = textwrap.indent(body, " " * 8).lstrip()
        text = f'"""{title}"""\n\nfrom ml_collections import ConfigDict\n\n\n' \
            f"def get_config():\n    return ConfigDict(\n        {indented}\n    )"  # fmt: skip
    else:
        raise ConfigError(f"the config file '{path}' would be neither Python nor JSON; call it "
                          "NAME.py or NAME.json")  # fmt: skip
    if os.path.exists(path):
        raise ConfigError(f"'{path}' is there, and may have been edited: take another name")
    ordinary.written(path, (text + "\n").encode())


def located(path: str) -> str:
    """The file of `FILE[:ARG]`, which is a path or the name of a config that comes with us.

    Raises:
      ConfigError: there is none; the message names the nearest one.
    """
    name, mark, argument = path.partition(":")
    if os.path.isfile(name):
        return path
    if shipped_file := shipped.find(name):
        return f"{shipped_file}{mark}{argument}"
    folder = os.path.dirname(name) or "."
    files = os.listdir(folder) if os.path.isdir(folder) else []
    if there := [file for file in files if file.endswith(".py")]:
        raise ConfigError(f"no config file '{name}'{nearest(os.path.basename(name), there)}")
    raise ConfigError(f"no config '{name}'{nearest(name, shipped.names())}")


def named(argv: Sequence[str]) -> str:
    """What --config of a command line says; "" where it is not said."""
    chosen = ""
    for word, after in itertools.pairwise([*argv[1:], ""]):
        flag, equals, value = word.partition("=")
        chosen = (value if equals else after) if flag in ("--config", "-config") else chosen
    return chosen


def check_overrides(argv: Sequence[str], default: str | ConfigDict) -> tuple[list[str], ConfigDict]:
    """The words without `--config FILE`, and the config of that file with the blocks they need.

    default: the file, or the config itself, where no word names one.

    Refuses a missing file, and keys that nothing in it can have. A key may be one of the file's,
    or a new one in one of its blocks. Keys that are set to None are so in the config already, and
    no longer among the words, as flags have the types of the values that they replace.
    """
    words, chosen = [], default
    rest = iter(argv)
    for word in rest:
        if word in ("--config", "-config"):
            chosen = next(rest, "")
            if not chosen or chosen.startswith("--"):
                raise ConfigError("--config lacks its value; expected --config=FILE")
        elif word.startswith(("--config=", "-config=")):
            chosen = word.split("=", 1)[1]
        else:
            words.append(word)
    config = load(chosen) if isinstance(chosen, str) else chosen
    kept, following = words[:1], itertools.pairwise([*map(_today, words[1:]), ""])
    for word, after in following:
        key, value = _override(word, after)
        if key:
            _check_key(config, key, value)
        if key and value == "None":
            _clear(config, key)
            kept = [w for w in kept if not f"{_override(w, '')[0]}.".startswith(f"{key}.")]
            if "=" not in word:
                next(following)
        elif key and (whole := _whole(config, key, value)) is not None:
            kept.append(f"--config.{key}={whole}")
            if "=" not in word:
                next(following)
        else:
            kept.append(word)
    return kept, config


def _whole(config: ConfigDict, key: str, value: str) -> int | None:
    """The whole number that 1e3 is, for a key that has one in the config, or nothing yet."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, ConfigDict) else None
    open_to_it = config is None or type(config) is int
    if open_to_it and WHOLE.fullmatch(value) and float(value).is_integer():
        return int(float(value))
    return None


def _override(word: str, after: str) -> tuple[str, str]:
    """The key of the config that a flag sets, and its value; "" for all other words."""
    name, equals, value = word.lstrip("-").partition("=")
    name = name.removeprefix("no")  # --noconfig.key is False
    if not word.startswith("-") or not name.startswith("config."):
        return "", ""
    return name.removeprefix("config."), value if equals else after


def _clear(config: ConfigDict, key: str) -> None:
    """Sets a key to None."""
    *blocks, last = key.split(".")
    for block in blocks:
        config = config[block]
    config[last] = None


def _today(word: str) -> str:
    """A flag of a key of the config under the key's name of today."""
    name, equals, value = word.partition("=")
    flag, dot, path = name.partition("config.")
    asks = dot and flag in ("-", "--", "-no", "--no")  # --noconfig.key is False
    return f"{flag}{dot}{renamed.key(path)}{equals}{value}" if asks else word


def _said(error: Exception) -> str:
    """What went wrong in a file; of an argument that a function does not take, the nearest one."""
    match = UNEXPECTED.search(str(error))
    if not match or not isinstance(error, TypeError):
        return f"{type(error).__name__}: {error}"
    known = _parameters(error.__traceback__, match["function"])
    hint = nearest(match["key"], known) if known else ""
    return f"{match['function']} takes no '{match['key']}'{hint}"


def _parameters(trace: TracebackType | None, name: str) -> list[str]:
    """The parameters of a function that the last frame of an error calls, [] if it is not found."""
    frame = [*traceback.walk_tb(trace)][-1][0]
    seen = [*frame.f_locals.values(), *frame.f_globals.values()]
    called = next((f for of in seen for f in (of, getattr(of, name, None))
                   if inspect.isfunction(f) and f.__name__ == name), None)  # fmt: skip
    return [*inspect.signature(called).parameters] if called else []


def _line(error: Exception, path: str) -> str:
    """The last line of a file that an error passed through, in words."""
    if isinstance(error, SyntaxError):
        return f" in line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    here = os.path.abspath(path)
    lines = [frame.lineno for frame in frames if os.path.abspath(frame.filename) == here]
    return f" in line {lines[-1]}" if lines else ""


class _Beside:
    """A finder of modules in some folders only, in front of all others."""

    def __init__(self, *folders: str):
        self._folders, self.loaded = folders, []

    def find_spec(self, name, path=None, target=None):
        """Top-level modules; those of the standard library keep their names."""
        if path is not None or name in sys.stdlib_module_names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, self._folders)
        if spec is None and (file := shipped.by_former_name(name)):
            spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:  # a folder that is no package
            return None
        self.loaded.append(name)
        return spec


@contextlib.contextmanager
def _importing_beside(path: str) -> Iterator[None]:
    """Inside, imports look beside a file first and then among our configs; nothing of it stays.

    Modules of other folders that have the same names are out of the way for that time.
    """
    folders = os.path.dirname(os.path.abspath(path)), str(shipped.FOLDER)
    finder = _Beside(*folders)
    mine = {
        file.removesuffix(".py")
        for folder in folders
        if os.path.isdir(folder)
        for file in os.listdir(folder)
        if file.endswith(".py") or os.path.isfile(os.path.join(folder, file, "__init__.py"))
    }
    hidden = {name: sys.modules.pop(name) for name in mine & sys.modules.keys() if _foreign(name)}
    sys.meta_path.insert(0, finder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in list(sys.modules):
            if name.partition(".")[0] in finder.loaded:
                del sys.modules[name]
        sys.modules.update(hidden)


def _foreign(name: str) -> bool:
    """Whether a loaded module is a file of somebody's, and not part of what is installed."""
    file = getattr(sys.modules[name], "__file__", None) or ""
    return name not in (*sys.stdlib_module_names, "__main__") and "site-packages" not in file


def _check_key(config: ConfigDict, key: str, value: str) -> None:
    """Refuses a key that the file lacks, unless it is in a block and like no other key there.

    Blocks that a file may leave out are made, as only what is there can be set.
    """
    node, walked, parts = config, "config", key.split(".")
    for depth, part in enumerate(parts, 1):
        if not isinstance(node, ConfigDict):
            raise ConfigError(f"{walked} is a single value and has no key {shown(part)}")
        last, known = depth == len(parts), part in node
        if known and node[part] is None:
            del node[part]  # for a value of any type
        if part not in node:
            if not known:
                _check_new(config, node, walked, part, last and depth > 1)
            if last:
                return
            node[part] = ConfigDict()
        node, walked = node[part], f"{walked}.{part}"
    if isinstance(node, ConfigDict) and not value.strip().startswith(("{", "dict(", "None")):
        flag = f"--{walked}.name={value}" if "name" in node else f"--{walked}.KEY=VALUE"
        raise ConfigError(f"{walked} is a block of keys, not {shown(value)}; write {flag}")


def _check_new(config: ConfigDict, block: ConfigDict, walked: str, key: str, free: bool) -> None:
    """Refuses a key that a block lacks and cannot have; free: its function may know more keys."""
    alike = difflib.get_close_matches(key, block, n=1, cutoff=ALIKE)
    free = free or OPEN.fullmatch(f"{walked}.{key}")
    if not key.isidentifier() or not free or alike and key not in TWINS:
        hint = meant(key, block.keys(), block=walked, config=config)
        raise ConfigError(f"{walked} has no key {shown(key)}{hint}")
