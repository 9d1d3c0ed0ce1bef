"""Command lines: `--config FILE[:ARG] --config.key=value --workdir DIR`, answered in sentences.

Light on purpose: a misspelt key is refused before jax is imported. A block of a config also takes
keys that the file leaves to their defaults; whether there is such a key, the library knows.

Exit status of a program:

     0  done
     2  a command line or a config that cannot be run
    65  too much of the data cannot be read, or some of what was asked cannot be measured
    69  another process of the run is gone, or its steps no longer end
    70  the training has left the finite numbers; what was saved before stays
    71  devices that hold copies of one state hold different ones; what was saved before stays
    73  the work directory is in use by another run
    74  something cannot be written or read: a checkpoint, a disk that is full or read-only
    75  asked to leave by a signal: everything is saved, and the same command goes on
    78  started again as often as allowed, and failed behind the same step each time
   130  interrupted where nothing waits to be saved
   141  whoever read what is printed has left before the end
"""

import contextlib
import difflib
import errno
import functools
import itertools
import os
import re
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from logging import WARNING, Formatter, LogRecord, getLogger
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from m3i_jax import command_flags, config_file, usage
from m3i_jax.build import ConfigError, UserError

USAGE = ConfigError.status
INTERRUPTED, UNHEARD = 128 + 2, 128 + 13
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
load = config_file.load  # as scripts know it
LATE = "Event loop is closed"
ILLEGAL = re.compile(r"^flag --[\w.]+=.*?: (?=--)", re.DOTALL)  # of absl, before our own sentence
PARTING = 10.0  # seconds from the end of the work to that of the program, at most
HURRY = 1.0  # where somebody has interrupted it
PREFIX = "showprefixforinfo"  # absl's flag; who gives it gets level, time, thread and line
WORD = 200  # letters of a word in a message, which is cut if it is longer


def run(
    main: Callable[..., int | None],
    *,
    config: str | None = None,
    schema: Callable | None = None,
    show: Callable[[ConfigDict], str] | None = None,
    words: bool | command_flags.Flag = False,
    unsaid: Callable[[Sequence[str]], ConfigDict | None] = lambda argv: None,
    argv: Callable[[Sequence[str]], Sequence[str]] = list,
) -> None:
    """Parses the flags and calls `main()`; a UserError becomes one sentence and its status.

    config: default config of the command, None if it takes no config.
    argv: (command line) -> the one that is read.
    unsaid: (command line) -> the config in place of the default, None = that one.
    schema: what a config is the keywords of, whose meanings --help lists.
    show: what --show prints of the config, in place of calling `main`.
    words: whether `main` takes what stands between the flags; or the flag that it is values of.
    """

    def guarded(argv: Sequence[str]) -> int | None:
        # app.run lets every library speak; ours do, the others only warn.
        logging.set_verbosity(logging.WARNING)
        getLogger("m3i_jax").setLevel("INFO")
        logging.get_absl_logger().addFilter(_told_once)
        logging.get_absl_handler().addFilter(_Repeats())
        logging.get_absl_handler().addFilter(lambda record: fresh_line() or True)
        if not flags.FLAGS[PREFIX].present:
            logging.get_absl_handler().setFormatter(_Spoken())
        sys.unraisablehook = functools.partial(_unraisable, sys.unraisablehook)
        if argv[1:] and not words:
            raise ConfigError(f"'{argv[1]}' is not a flag; flags start with --, values follow =")
        if isinstance(words, command_flags.Flag):
            command_flags.take(argv[1:], words)
            argv = argv[:1]
        command_flags.require(command_flags.of(sys.modules[main.__module__]))
        if show is not None and flags.FLAGS.show:
            return print(show(flags.FLAGS.config))
        return main(*argv[1:])

    with _heard_out():
        if usage.asked(sys.argv):
            print(usage.text(main, config=config, schema=schema))
            sys.exit(0)
        _started(guarded, main, config, show is not None, unsaid, argv)


def _started(
    guarded: Callable,
    main: Callable,
    config: str | None,
    shown: bool,
    unsaid: Callable,
    line: Callable,
) -> None:
    """Defines and reads the flags, and runs; what the user can mend is a sentence and a status."""
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    on_interrupt()
    try:
        command_flags.define(command_flags.of(sys.modules[main.__module__]))
        argv = flags.FLAGS.read_flags_from_files([*line(sys.argv)], force_gnu=False)
        if config is not None:
            check_names(argv)
            argv, chosen = config_file.check_overrides(argv, unsaid(argv) or config)
            options = dict(lock_config=False, accept_new_attributes=True, sys_argv=argv)
            config_flags.DEFINE_config_dict("config", chosen, "What to run.", **options)
            flags.FLAGS["config"].default_as_str = f"'{config}'"  # not all of what is in it
        if shown:
            flags.DEFINE_bool("show", False, "Print the config instead.")
        command_flags.check(argv)
        app.run(guarded, argv=argv, flags_parser=flags.FLAGS)
    except UserError as error:
        _leave(str(error), error.status)
    except flags.Error as error:
        _leave(ILLEGAL.sub("", str(error)), USAGE)
    except OSError as error:
        if error.filename is None and error.errno not in DISK:  # none of the user's files
            raise
        what = f"'{error.filename}'" if error.filename else "a file"
        _leave(f"{what} cannot be read or written: {error.strerror}", os.EX_IOERR)
    except KeyboardInterrupt:  # of what had taken the signal for itself, and has given it back
        signal.raise_signal(signal.SIGINT)
    finally:
        _gone_soon()


def on_interrupt(*, said: Callable[[], str] = lambda: "") -> None:
    """Has Ctrl-C end the program there and then, as nothing waits to be saved.

    It is no exception: callbacks of C++ swallow one, and imports of C++ crash at it. What saves
    takes the signal for itself as long as it does.

    said: what is said of it beside that.
    """

    met: list[int] = []

    def end(number: int, _frame: Any) -> None:
        if met:  # some senders send it twice within milliseconds
            return
        met.append(number)
        for line in filter(None, (said(), "error: interrupted")):
            os.write(2, f"{line}\n".encode())
        _end(INTERRUPTED)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, end)


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Inside, Ctrl-C waits for the end: files that belong together are there together."""
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: asked.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if asked:
            signal.raise_signal(signal.SIGINT)


def _gone_soon() -> None:
    """Sees to it that the program ends, `PARTING` seconds after its work, or `HURRY`.

    Threads of Orbax wait five minutes for the folder of a save that failed as somebody deleted it,
    and the interpreter waits for them. One process of many waits for the others, however long.
    """
    jax, error = sys.modules.get("jax"), sys.exc_info()[1]
    if jax is None or jax.distributed.is_initialized():
        return
    code = error.code if isinstance(error, SystemExit) else int(error is not None)
    wait = min(PARTING, HURRY) if code == INTERRUPTED else PARTING
    timer = threading.Timer(wait, _end, [code if isinstance(code, int) else int(bool(code))])
    timer.daemon = True
    timer.start()


def _end(status: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        # RuntimeError: it was being written to as the signal came.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            stream.flush()
    os._exit(status)


def _told_once(record: LogRecord) -> bool:
    """False for tracebacks of Orbax's threads: each raises what it logs, and we say it."""
    return not (record.exc_info and f"{os.sep}orbax{os.sep}" in record.pathname)


def fresh_line() -> None:
    """Takes from a terminal what is said in place (`training.waiting`): the next line stays."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


class _Spoken(Formatter):
    """Sentences for a reader: without absl's "I1129 08:44:30.123 12345 file.py:12]", but a warning
    is called one."""

    def format(self, record: LogRecord) -> str:
        """What is said."""
        text = super().format(record)
        return text if record.levelno < WARNING else f"{record.levelname.lower()}: {text}"


class _Repeats:
    """Lets what is said of data through once, however often they are opened and measured on."""

    def __init__(self):
        self._told: set[str] = set()

    def filter(self, record: LogRecord) -> bool:
        """Whether a record is no repetition."""
        if not record.name.startswith(("m3i_jax.data.", "m3i_jax.evaluation.")):
            return True
        text = record.getMessage().replace("test data: ", "train data: ", 1)
        new = text not in self._told
        self._told.add(text)
        return new


def _unraisable(print_it: Callable[[Any], None], met: Any) -> None:
    """Leaves out what threads of TensorStore meet behind a save that has failed, and been told."""
    late = isinstance(met.exc_value, RuntimeError) and str(met.exc_value) == LATE
    if not late or threading.current_thread() is threading.main_thread():
        print_it(met)


@contextlib.contextmanager
def _heard_out() -> Iterator[None]:
    """What is printed may have a reader such as `head`, who leaves when it has seen enough."""
    try:
        yield
    except SystemExit:
        _reader_left()
        raise
    except BrokenPipeError:  # or of a socket, which is another matter
        if _reader_left():
            sys.exit(UNHEARD)
        raise


def _reader_left() -> bool:
    """Whether nobody reads what is printed; at the exit itself that would be a traceback."""
    asked = select.poll()
    try:
        asked.register(sys.stdout, select.POLLOUT)
    except ValueError:  # no file, such as what a test puts in its place
        return False
    if left := any(event & select.POLLERR for _, event in asked.poll(0)):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return left


def _leave(sentence: str, status: int) -> None:
    print(f"error: {readable(sentence)}", file=sys.stderr)
    sys.exit(status)


def readable(sentence: str) -> str:
    """A sentence for a terminal: long words cut, and no letter in it that would do something."""
    cut = re.sub(rf"\S{{{WORD},}}", lambda word: f"{word[0][:60]}…", sentence)
    escaped = lambda letter: letter.encode("unicode_escape").decode()  # noqa: E731
    return "".join(x if x.isprintable() or x == "\n" else escaped(x) for x in cut)


def check_names(argv: Sequence[str], *, flag_values: flags.FlagValues = flags.FLAGS) -> None:
    """Refuses a flag that there is not, before anything is looked at for a config."""
    known = [*flag_values, "config", "show"]
    for word in itertools.takewhile("--".__ne__, argv[1:]):
        name = word.removeprefix("--").partition("=")[0]
        said = {name, name.removeprefix("no")}
        if word.startswith("--") and name.isidentifier() and not said & {*known}:
            raise flags.UnrecognizedFlagError(name, word, difflib.get_close_matches(name, known))
