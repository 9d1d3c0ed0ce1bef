"""What the parameters of a function mean, read from its docstring.

Two ways of writing are known, alone or under `Args:`, and what continues an entry is indented:

    momentum: share of the average that stays.
    b1, b2: shares of the moments that stay.  eps: is added to the root.
"""

import inspect
import re
import sys
from collections.abc import Callable, Iterator

# Where an entry begins: names and a colon, at the start of a line or behind two spaces.
NAMES = r"\w+(?:, \w+)*"
ENTRY = re.compile(rf"(?:^|(?<=\S)\s{{2,}})({NAMES}): +(?=\S)")


def of(fn: Callable) -> dict[str, str]:
    """{parameter: its meaning, in a line}, of those that have one.

    What the function leaves out, its module may say for all that is in it, or the package.
    """
    fn = getattr(fn, "func", fn)  # a partial
    wanted = inspect.signature(fn).parameters
    module = getattr(fn, "__module__", None) or ""
    package = module.rpartition(".")[0]
    texts = [inspect.getdoc(fn), *(_doc(name) for name in (module, package))]
    meaning_of: dict[str, str] = {}
    for text in filter(None, texts):
        meaning_of = {name: said for name, said in entries(text) if name in wanted} | meaning_of
    return meaning_of


def entries(text: str) -> Iterator[tuple[str, str]]:
    """(name, meaning) of every name that a docstring explains; blanks and breaks are one blank."""
    for entry in _joined(text):
        starts = [*ENTRY.finditer(entry)]
        ends = [start.start() for start in starts[1:]] + [len(entry)]
        for start, end in zip(starts, ends, strict=True):
            said = " ".join(entry[start.end() : end].split())
            yield from ((name, said) for name in start[1].split(", "))


def title(fn: Callable) -> str:
    """The first line of what a function says of itself."""
    return (inspect.getdoc(getattr(fn, "func", fn)) or "").strip().partition("\n")[0]


def _joined(text: str) -> Iterator[str]:
    """Lines that begin an entry, each with the lines that continue it."""
    entry, depth = "", 0
    for line in [*text.splitlines(), ""]:
        indent = len(line) - len(line.lstrip())
        if entry and line.strip() and indent > depth:
            entry += " " + line.strip()
            continue
        if entry:
            yield entry
        entry, depth = line.strip(), indent
        if not ENTRY.match(entry):
            entry = ""


def _doc(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__doc__", None)
