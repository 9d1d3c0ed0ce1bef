"""A live line while something takes long and says nothing: "compiling, 12 s"."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

QUIET = 1.0  # seconds in which nothing is said
EVERY = 15.0  # seconds between two lines where there is no terminal


@contextlib.contextmanager
def live(
    what: str | Callable[[], str], *, stream: TextIO | None = None, quiet: float = QUIET
) -> Iterator[None]:
    """Says what is being waited for, and for how long: in place on a terminal, else in lines.

    what: a text, or what gives the one of now.
    quiet: seconds before the first word; a block that is done by then leaves no trace.
    """
    say = what if callable(what) else lambda: what
    stream, start = stream or sys.stderr, time.monotonic()
    try:
        with ticking(lambda: f"{say()}, {time.monotonic() - start:.0f} s", stream, quiet=quiet):
            yield
    finally:
        if (seconds := time.monotonic() - start) > quiet:
            _said(stream, f"{say()}: {seconds:.1f} s", end="\n")


@contextlib.contextmanager
def ticking(say: Callable[[], str], stream: TextIO, *, quiet: float = QUIET) -> Iterator[None]:
    """Says again and again what is being done, in place on a terminal; nothing where that is "".

    quiet: seconds before the first word.
    """
    done = threading.Event()

    def tell() -> None:
        pause = quiet
        while not done.wait(pause):
            pause = _said(stream, say(), end="")

    teller = threading.Thread(target=tell, name="waiting", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _said(stream: TextIO, text: str, *, end: str) -> float:
    """Writes a line, and returns the seconds to the next one."""
    try:
        terminal = stream.isatty()
        if text:
            stream.write(f"\r{text}\x1b[K{end}" if terminal else text + "\n")
            stream.flush()
    except (OSError, ValueError):  # a closed terminal
        return EVERY
    return 1.0 if terminal else EVERY
