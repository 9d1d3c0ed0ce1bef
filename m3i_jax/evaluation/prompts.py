"""Sentences that names of classes are put into, so that a text tower reads what it was trained on.

Radford et al. 2021, §3.1.4, https://arxiv.org/abs/2103.00020, average 80 of them, which are "clip"
here; "ensemble" are 80 of ours of the same form (docs/methods.md#zero-shot).
"""

from collections.abc import Sequence
from pathlib import Path

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import texts
from m3i_jax.evaluation.clip_prompts import CLIP

_QUALITIES = (
    "blurry bright clear close-up cropped dark faded good grainy noisy sharp tilted".split()
)
_STATES = "big clean dirty half-hidden large nice odd old ordinary partly-seen single small".split()
_KINDS = (
    "cartoon drawing figurine model painting portrait rendering sculpture sketch stencil tattoo"
)
_WHOSE = ("a", "the")

PLAIN = "a photo of a {}."
ENSEMBLE = (
    *(f"a photo of {which} {{}}." for which in ("a", "the", "one", "my", "many")),
    *(f"a {quality} photo of {whose} {{}}." for quality in _QUALITIES for whose in _WHOSE),
    *(f"a photo of {whose} {state} {{}}." for state in _STATES for whose in _WHOSE),
    *(f"a {kind} of {whose} {{}}." for kind in _KINDS.split() for whose in _WHOSE),
    "{}.",
    "a picture of {}.",
    "an image of the {}.",
    "a snapshot with a {} in it.",
    "a scene in which there is a {}.",
)
TEMPLATES: dict[str, tuple[str, ...]] = {
    "ensemble": ENSEMBLE,
    "clip": CLIP,
    "plain": (PLAIN,),
}


def templates(name: str) -> tuple[str, ...]:
    """The sentences of a list of `TEMPLATES`, or those of a file, one a line, each with {}.

    Raises:
      ConfigError: neither a list nor a file, or a line without {}.
    """
    if name in TEMPLATES:
        return TEMPLATES[name]
    lines = _lines(name, what="templates", known=TEMPLATES)
    for number, line in lines:
        if "{}" not in line:
            raise ConfigError(
                f"'{name}' has no {{}} in line {number}, '{line}': a template says with it where "
                "the name of a class goes"
            )
    return tuple(line for _, line in lines)


def class_names(classes: Sequence[str], *, file: str = "") -> tuple[str, ...]:
    """What the classes are called in sentences.

    Args:
      classes: of the data set; an underscore is read as a space.
      file: lines "CLASS<tab>NAME" for classes that have another name, or a name for every class,
        one a line, in their order; "" = none.

    Raises:
      ConfigError: no such file, a class that is not in the data set, or another number of names.
    """
    plain = [name.replace("_", " ") for name in classes]
    if not file:
        return tuple(plain)
    lines = _lines(file, what="names")
    if not any("\t" in line for _, line in lines):
        if len(lines) != len(classes):
            raise ConfigError(
                f"'{file}' has {len(lines)} names, and the data set has {len(classes)} classes; "
                "lines CLASS<tab>NAME may leave classes out"
            )
        return tuple(line for _, line in lines)
    for number, line in lines:
        name, tab, called = (part.strip() for part in line.partition("\t"))
        if not called or name not in classes:
            raise ConfigError(
                f"line {number} of '{file}' is '{line}', expected CLASS<tab>NAME of a class of the "
                f"data set{nearest(name, classes)}"
            )
        plain[list(classes).index(name)] = called
    return tuple(plain)


def _lines(file: str, *, what: str, known: Sequence[str] = ()) -> list[tuple[int, str]]:
    """The lines of a file that have words, with their numbers."""
    if not Path(file).expanduser().is_file():
        lists = f"{' or '.join(known)}, or " if known else ""
        hint = nearest(file, known) if known else ""
        raise ConfigError(f"{what} is '{file}', expected {lists}a file with one a line{hint}")
    read = texts.read(Path(file).expanduser()).splitlines()
    lines = [(number, line.strip()) for number, line in enumerate(read, 1) if line.strip()]
    if not lines:
        raise ConfigError(f"'{file}' is empty, expected {what}, one a line")
    return lines
