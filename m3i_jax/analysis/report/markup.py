"""Elements of HTML and SVG as text. Whatever is no `Markup` is escaped where it is put."""

import html
import json
import re
import unicodedata
from typing import Any

LONGEST = 300  # letters of a name or a caption
VOID = {"img", "input", "meta", "br"}  # elements of HTML that never end
# What is neither a letter nor a blank, or turns the order of letters round.
HIDDEN = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


class Markup(str):
    """Text that is markup already."""


def clean(text: Any, *, most: int = LONGEST) -> str:
    """Text that any page can hold, in one line: no letters become �, what is too long is cut.

    text: a name of a file, a caption, a message, with whatever bytes they have.
    """
    plain = " ".join(str(text).split())
    if not (plain.isascii() and plain.isprintable()):
        plain = " ".join(HIDDEN.sub("", plain).encode(errors="replace").decode().split())
        plain = "".join("�" if unicodedata.category(x) in ("Cc", "Cs", "Cn") else x for x in plain)
    return plain if len(plain) <= most else plain[: most - 1].rstrip() + "…"


def escaped(value: Any, *, most: int = 4000) -> Markup:
    """A value as text of the page; markup passes."""
    if isinstance(value, Markup):
        return value
    text = str(value)
    blank = text[:1].isspace(), text[-1:].isspace() and bool(text.strip())
    plain = html.escape(clean(text, most=most))
    return Markup(" " * blank[0] + plain + " " * blank[1])


def element(name: str, /, *inside: Any, **attributes: Any) -> Markup:
    """<name attribute="…">inside</name>.

    attributes: `class_` and `for_` stand for class and for, `data_x` for data-x. True stands alone,
      None and False are left out.
    """
    said = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in VOID:
        return Markup(f"<{name}{said}>")
    return Markup(f"<{name}{said}>{joined(*inside)}</{name}>")


def joined(*parts: Any) -> Markup:
    """Parts behind each other; None is nothing."""
    return Markup("".join(escaped(part) for part in parts if part is not None))


def data(value: Any, *, name: str) -> Markup:
    """A value for the script, as JSON that no letter of it can end."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(f'<script type="application/json" id="{name}">{text}</script>')


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
