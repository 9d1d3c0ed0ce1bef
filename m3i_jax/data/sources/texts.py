"""Text files of others: UTF-8, or what their byte-order mark says, and nothing that is guessed."""

import codecs
import re
from pathlib import Path

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import places

MARKS = {  # that of UTF-32 begins as that of UTF-16 does
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
_WIDE = {"utf-16-le": re.compile(rb"([^\0]\0)+"), "utf-16-be": re.compile(rb"(\0[^\0])+")}


def encoding(data: bytes) -> str:
    """The encoding that a text's first bytes speak for; UTF-8 where they say nothing.

    No text has a NUL: ASCII with one at every other place is UTF-16 that lacks its mark.
    """
    marked = next((name for name, marks in MARKS.items() if data.startswith(marks)), None)
    whole = data[: len(data) // 2 * 2]
    wide = next((name for name, shape in _WIDE.items() if shape.fullmatch(whole)), None)
    return marked or wide or "utf-8"


def lines(data: bytes, *, whole: bool) -> tuple[list[str], int]:
    """The lines of a text that can be read, and how many cannot.

    A line cannot that has a byte of another encoding, a NUL, or the letter U+FFFD, which is what
    another program has made of such a byte. Where one has such a byte only lines in ASCII can: by
    chance some words in GBK are words in UTF-8 too.

    whole: these are all bytes of the text. Of a cut one the last line is left out, or where it has
      one only the last word.
    """
    name = encoding(data)
    try:
        text, sound = codecs.getincrementaldecoder(name)().decode(data, final=whole), True
    except UnicodeDecodeError:
        text, sound = data.decode(name, "replace"), False
    rows = text.replace("\ufeff", "").splitlines(keepends=True)
    if not whole and rows and len(rows[-1].splitlines()[0]) == len(rows[-1]):
        cut = rows.pop()
        if not rows:
            rows = [cut.rpartition(" ")[0] or cut]
    clear = [x for x in rows if "\0" not in x and "\ufffd" not in x and (sound or x.isascii())]
    return clear, len(rows) - len(clear)


def read(path: Path) -> str:
    """A whole text.

    Raises:
      ConfigError: it cannot be read, or is of an encoding that it does not say.
    """
    try:
        data = places.content(path)
        text = data.decode(encoding(data)).replace("\ufeff", "")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"'{path}' is no text in UTF-8 (line {line}, byte 0x{data[error.start]:02x}); save it "
            "as UTF-8, or as UTF-16 with its byte-order mark"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot read '{path}': {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"cannot read '{path}': {error}") from error
    if "\0" in text:
        raise ConfigError(f"'{path}' is no text: it has NUL bytes; save it as UTF-8")
    return text
