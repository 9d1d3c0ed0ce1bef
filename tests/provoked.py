r"""Which of the sentences that users may meet have been provoked by tests, and which never.

    M3I_PROVOKED=told.jsonl python -m pytest -n 2
    python -m tests.provoked told.jsonl        # those that no test has met, but `ELSEWHERE`

The constructor of `UserError` notes who raised it, and what it says, a handler of the log what is
warned of; a line of the file for each. Processes that tests fork note theirs there, too. Processes
that start as a user's do not.
"""

import functools
import json
import logging
import os
import pathlib
import re
import sys
from collections.abc import Iterable
from types import FrameType
from typing import NamedTuple

from m3i_jax import build

ROOT = pathlib.Path(__file__).parents[1]
FILE = "M3I_PROVOKED"  # names the file in the environment; without it nothing is noted
LONGEST = 2000  # letters of a sentence
# What is met where nobody notes it, or nowhere: beginnings of sentences, and why.
ELSEWHERE = {
    "'…' is not a flag; ": "a user's process, tests/cli_test.py",
    "… is called '…' now": "pytest.warns, tests/renamed_test.py",
    "framework.… is called ": "pytest.warns, tests/framework/method_test.py",
    "methods.ROWS is called ": "pytest.warns, tests/renamed_test.py",
    "… … do not divide over tensor": "pytest.warns, tests/parallel/tensor_test.py",
}
PACKAGE = str(ROOT / "m3i_jax") + os.sep


class Told(NamedTuple):
    """What somebody was told, and where in the package it was raised or logged."""

    module: str
    line: int
    text: str


def install() -> None:
    """Has every `UserError` noted, where the environment names a file for it."""
    if not (file := os.environ.get(FILE)) or hasattr(build.UserError.__init__, "noted"):
        return
    seen: set[Told] = set()

    def noting(self, *args):
        super(build.UserError, self).__init__(*args)
        note(_told(sys._getframe(1), " ".join(map(str, args))))

    def note(told: Told | None) -> None:
        if told and told not in seen:
            seen.add(told)
            with open(file, "a") as lines:  # shorter than a page, so that none is cut by another
                lines.write(json.dumps(told) + "\n")

    noting.noted = True
    build.UserError.__init__ = noting
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: note(_logged(record))
    logging.getLogger("m3i_jax").addHandler(handler)


def read(file: str | pathlib.Path) -> set[Told]:
    """All that was noted."""
    return {Told(*json.loads(line)) for line in pathlib.Path(file).read_text().splitlines()}


def never(sentences: Iterable, told: Iterable[Told]) -> list:
    """Those of `pages.sentences` and `pages.warnings` that nobody was told."""
    by_module: dict[str, list[Told]] = {}
    for one in told:
        by_module.setdefault(one.module, []).append(one)
    return [s for s in sentences if not any(_is(s, one) for one in _about(s, by_module))]


def _about(sentence, by_module: dict[str, list[Told]]) -> list[Told]:
    """What was told where a sentence may be: ranges are said of by whoever has a number, and a
    warning by whoever it was handed to."""
    if sentence.module == "m3i_jax.ranges" or sentence.kind == "warning":
        return [one for of in by_module.values() for one in of]
    return by_module.get(sentence.module, [])


def _is(sentence, told: Told) -> bool:
    return bool(_pattern(sentence.text).search(" ".join(told.text.split())))


@functools.cache
def _pattern(text: str) -> re.Pattern:
    """A sentence with anything, or nothing, for each …; blanks around it are free."""
    parts = [re.escape(part.strip()) for part in text.split("…")]
    return re.compile(r"\s*.*?\s*".join(parts))


def _told(frame: FrameType | None, text: str) -> Told | None:
    """The innermost place in the package that is no constructor of an exception."""
    while frame and (_constructs(frame) or not frame.f_code.co_filename.startswith(PACKAGE)):
        frame = frame.f_back
    if frame is None:
        return None
    return Told(_module(frame.f_code.co_filename), frame.f_lineno, text[:LONGEST])


def _logged(record: logging.LogRecord) -> Told | None:
    """What the package has logged."""
    if not record.pathname.startswith(PACKAGE):
        return None
    return Told(_module(record.pathname), record.lineno, record.getMessage()[:LONGEST])


def _module(file: str) -> str:
    return file.removeprefix(str(ROOT) + os.sep).removesuffix(".py").replace(os.sep, ".")


def _constructs(frame: FrameType) -> bool:
    of = frame.f_locals.get("self")
    return frame.f_code.co_name == "__init__" and isinstance(of, BaseException)


install()  # for processes that import it beforehand, see `programs`

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "docs"))
    import pages

    rest = never([*pages.sentences(), *pages.warnings()], read(sys.argv[1]))
    rest = [one for one in rest if not one.text.startswith(tuple(ELSEWHERE))]
    print("\n".join(f"{one.module}:{one.line}: {one.text}" for one in rest))
    sys.exit(bool(rest))
