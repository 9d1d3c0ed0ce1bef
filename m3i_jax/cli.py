"""Command lines: `--config FILE[:ARG] --config.key=value --workdir DIR`, answered in sentences.

Light on purpose: a misspelt key is refused before jax is imported. A block of a config also takes
keys that the file leaves to their defaults; whether there is such a key, the library knows.

Exit status of a program:

     0  done
     2  a command line or a config that cannot be run
    65  too much of the data cannot be read
    69  another process of the run is gone, or its steps no longer end
    70  the training has left the finite numbers; what was saved before stays
    73  the work directory is in use by another run
    74  something cannot be written or read: a checkpoint, a disk that is full or read-only
    75  asked to leave by a signal: everything is saved, and the same command goes on
   130  interrupted where nothing waits to be saved
"""

import contextlib
import difflib
import errno
import importlib.machinery
import importlib.util
import itertools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from logging import LogRecord, getLogger
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from m3i_jax import renamed, shipped, usage
from m3i_jax.build import ConfigError, UserError
from m3i_jax.ranges import refusal, shown
from m3i_jax.spelling import meant, nearest
from m3i_jax.synonyms import HOMES

USAGE = ConfigError.status
INTERRUPTED = 128 + 2
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
ALIKE = 0.8  # similarity of a new key to one that is there from which it counts as misspelt
WORD = 200  # letters of a word in a message, which is cut if it is longer
# Keys that are alike and both right.
TWINS = frozenset("weight_decay weight_decay_end head heads dtype types encoder decoders".split())
# Keys that a file may leave out: those of a config, and blocks in blocks.
OPEN = re.compile(
    rf"config\.({'|'.join(HOMES[''][''].split())}|(augment|towers|decoders|weights)\.\w+"
    r"|objective\.(target|methods(\.\w+(\.target)?)?)|optimizer\.schedule|crops\.rand_augment)"
)


def run(
    main: Callable[..., int | None],
    *,
    config: str | None = None,
    schema: Callable | None = None,
    show: Callable[[ConfigDict], str] | None = None,
    words: bool = False,
) -> None:
    """Parses the flags and calls `main()`; a UserError becomes one sentence and its status.

    config: default config of the command, None if it takes no config.
    schema: what a config is the keywords of, whose meanings --help lists.
    show: what --show prints of the config, in place of calling `main`.
    words: whether `main` takes what stands between the flags.
    """

    def guarded(argv: Sequence[str]) -> int | None:
        # app.run lets every library speak; ours do, the others only warn.
        logging.set_verbosity(logging.WARNING)
        getLogger("m3i_jax").setLevel("INFO")
        logging.get_absl_logger().addFilter(_told_once)
        if words:
            return main(*argv[1:])
        if argv[1:]:
            raise ConfigError(f"'{argv[1]}' is not a flag; flags start with --, values follow =")
        if show is not None and flags.FLAGS.show:
            return _print(show(flags.FLAGS.config))
        return main()

    if usage.asked(sys.argv):
        print(usage.text(main, config=config, schema=schema))
        sys.exit(0)
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        argv = flags.FLAGS.read_flags_from_files(sys.argv, force_gnu=False)
        if config is not None:
            argv, chosen = check_overrides(argv, config)
            how = dict(lock_config=False, accept_new_attributes=True, sys_argv=argv)
            config_flags.DEFINE_config_dict("config", chosen, "What to run.", **how)
            flags.FLAGS["config"].default_as_str = f"'{config}'"  # not all of what is in it
        if show is not None:
            flags.DEFINE_bool("show", False, "Print the config instead.")
        check_values(argv)
        app.run(guarded, argv=argv, flags_parser=flags.FLAGS)
    except (UserError, flags.Error) as error:
        _leave(str(error), error.status if isinstance(error, UserError) else USAGE)
    except OSError as error:
        if error.filename is None and error.errno not in DISK:  # none of the user's files
            raise
        what = f"'{error.filename}'" if error.filename else "a file"
        _leave(f"{what} cannot be read or written: {error.strerror}", os.EX_IOERR)
    except KeyboardInterrupt:
        _leave("interrupted", INTERRUPTED)


def _told_once(record: LogRecord) -> bool:
    """False for tracebacks of Orbax's threads: each raises what it logs, and we say it."""
    return not (record.exc_info and f"{os.sep}orbax{os.sep}" in record.pathname)


def _print(text: str) -> None:
    """Prints a page, of which a reader such as `head` may want the beginning only."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # what is left is flushed at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(sentence: str, status: int) -> None:
    sentence = re.sub(rf"\S{{{WORD},}}", lambda word: f"{word[0][:60]}…", sentence)
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(status)


def hold(
    flag: flags.FlagHolder, annotation: Any, *, flag_values: flags.FlagValues = flags.FLAGS
) -> None:
    """Holds the value of a flag to a range as configs are: absl's own bounds let NaN pass."""

    def inside(value: Any) -> bool:
        if value is not None and (wrong := refusal(value, annotation, f"--{flag.name}")):
            raise flags.ValidationError(wrong)
        return True

    flags.register_validator(flag.name, inside, flag_values=flag_values)


def check_overrides(argv: Sequence[str], default: str) -> tuple[list[str], ConfigDict]:
    """The words without `--config FILE`, and the config of that file with the blocks they need.

    Refuses a missing file, and keys that nothing in it can have. A key may be one of the file's,
    or a new one in one of its blocks.
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
    config = load(chosen)
    words = [*words[:1], *map(_today, words[1:])]
    for word, after in itertools.pairwise([*words[1:], ""]):
        name, equals, value = word.lstrip("-").partition("=")
        name = name.removeprefix("no")  # --noconfig.key is False
        if word.startswith("-") and name.startswith("config."):
            _check_key(config, name.removeprefix("config."), value if equals else after)
    return words, config


def check_values(argv: Sequence[str], *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Refuses a flag in front of another one that it would take for its value."""
    for word, after in itertools.pairwise([*argv[1:], "--"]):
        name = word.lstrip("-")
        if word.startswith("-") and after.startswith("--") and name in flag_values:
            if not flag_values[name].boolean:
                raise ConfigError(f"--{name} lacks its value; expected --{name}=VALUE")


def load(path: str) -> ConfigDict:
    """The config that a file's `get_config` returns; `FILE:ARG` passes ARG to it.

    The file may import what lies beside it, or else what is in our own folder of configs.

    Raises:
      ConfigError: there is no such file, or it fails; the message names the line.
    """
    path, _, argument = located(path).partition(":")
    if not path.endswith(".py"):
        raise ConfigError(f"the config file '{path}' is no Python file, whose name ends in .py")
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    try:
        with _importing_beside(path):
            spec.loader.exec_module(module)
            config = module.get_config(argument) if argument else module.get_config()
            if not isinstance(config, Mapping | ConfigDict):
                raise TypeError(f"get_config returns {shown(config)}, expected a ConfigDict")
            return renamed.config(ConfigDict(config))
    except UserError:
        raise
    except Exception as error:
        raise ConfigError(
            f"the config file '{path}' fails{_line(error, path)}: {_said(error)}"
        ) from error


def located(path: str) -> str:
    """The file of `FILE[:ARG]`, which is a path or the name of a config that comes with us.

    Raises:
      ConfigError: there is none; the message names the nearest one.
    """
    name, mark, argument = path.partition(":")
    if os.path.isfile(name):
        return path
    if found := shipped.find(name):
        return f"{found}{mark}{argument}"
    folder = os.path.dirname(name) or "."
    files = os.listdir(folder) if os.path.isdir(folder) else []
    if there := [file for file in files if file.endswith(".py")]:
        raise ConfigError(f"no config file '{name}'{nearest(os.path.basename(name), there)}")
    raise ConfigError(f"no config '{name}'{nearest(name, shipped.names())}")


def _today(word: str) -> str:
    """A flag of a key of the config under the key's name of today."""
    name, equals, value = word.partition("=")
    flag, dot, path = name.partition("config.")
    asks = dot and flag in ("-", "--", "-no", "--no")  # --noconfig.key is False
    return f"{flag}{dot}{renamed.key(path)}{equals}{value}" if asks else word


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


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
        self._folders, self.found = folders, []

    def find_spec(self, name, path=None, target=None):
        """Top-level modules; those of the standard library keep their names."""
        if path is not None or name in sys.stdlib_module_names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, self._folders)
        if spec is None and (file := shipped.by_former_name(name)):
            spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:  # a folder that is no package
            return None
        self.found.append(name)
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
            if name.partition(".")[0] in finder.found:
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
        last = depth == len(parts)
        if part not in node:
            path = f"{walked}.{part}"
            alike = difflib.get_close_matches(part, set(node) - {part}, n=1, cutoff=ALIKE)
            free = OPEN.fullmatch(path) or last and depth > 1
            if not part.isidentifier() or not free or alike and part not in TWINS:
                hint = meant(part, node.keys(), block=walked, config=config)
                raise ConfigError(f"{walked} has no key {shown(part)}{hint}")
            if last:
                return
            node[part] = ConfigDict()
        node, walked = node[part], f"{walked}.{part}"
    if isinstance(node, ConfigDict) and not value.strip().startswith(("{", "dict(")):
        how = f"--{walked}.name={value}" if "name" in node else f"--{walked}.KEY=VALUE"
        raise ConfigError(f"{walked} is a block of keys, not {shown(value)}; write {how}")
