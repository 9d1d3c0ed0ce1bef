"""What could not be measured, and how an evaluation that measured other things ends with it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from m3i_jax.build import ConfigError, UserError
from m3i_jax.checkpoints.faults import CheckpointError
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from m3i_jax.evaluation.features import NotMeasurable

# What keeps a task from being measured, and others not: what the data or the model lack for it,
# what of them cannot be read.
Lacking = (NotMeasurable, ConfigError, TooManyUnreadable, CheckpointError)


class Place(NamedTuple):
    """One cell of the table: what was asked of which model on which data, as tables call them.

    data: "" where nothing says which.
    """

    task: str
    model: str
    data: str


class Unread(NamedTuple):
    """A model that cannot be read, in its place among others.  name: as it was asked for."""

    name: str
    error: UserError


class Refusal(NamedTuple):
    """A result that cannot be had.

    error: why.   expected: whether it is no fault where other results are, as raw pixels have no
      heads of their own.
    """

    place: Place
    error: Exception
    expected: bool = False


def end(refused: Sequence[Refusal], found: Sequence[Place]) -> None:
    """Ends an evaluation by what it lacks, if that is anything.

    Args:
      refused: what could not be measured.
      found: what was.

    Raises:
      NotMeasurable: some of what was asked is lacking: why, and of what where it is not of all.
      ConfigError, TooManyUnreadable, CheckpointError: nothing could be measured, and not for what
        the models lack alone: the first reason of each model on each data set, as what the first
        of them is.
    """
    lacking = [refusal for refusal in refused if not (found and refusal.expected)]
    wrong = [refusal for refusal in lacking if not isinstance(refusal.error, NotMeasurable)]
    if wrong and not found:
        firsts = {refusal.place[1:]: refusal for refusal in reversed(wrong)}
        wrong = [*reversed(firsts.values())]
        kind = next(kind for kind in Lacking if isinstance(wrong[0].error, kind))
        raise kind(_sentence(wrong, [refusal.place for refusal in wrong])) from wrong[0].error
    if lacking:
        raise NotMeasurable(_sentence(lacking, [*found, *(refusal.place for refusal in refused)]))


def _sentence(refused: Iterable[Refusal], asked: Sequence[Place]) -> str:
    """Each reason once, behind the tasks, models and data that it is of where others are asked."""
    places: dict[str, list[Place]] = {}
    for refusal in refused:
        places.setdefault(str(refusal.error), []).append(refusal.place)
    whole = [set(names) for names in zip(*asked, strict=True)]
    return "; ".join(
        f"{of}: {reason}" if (of := _named(block, whole)) else reason
        for reason, cells in places.items()
        for block in _blocks(cells)
    )


def _blocks(cells: Iterable[Place]) -> list[tuple[tuple[str, ...], ...]]:
    """Cells as few products (tasks) × (models) × (data)."""
    blocks = [tuple((name,) for name in cell) for cell in cells]
    for axis in range(len(Place._fields)):
        alike: dict[tuple, list[str]] = {}
        for block in blocks:
            alike.setdefault(block[:axis] + block[axis + 1 :], []).extend(block[axis])
        blocks = [
            (*rest[:axis], tuple(dict.fromkeys(names)), *rest[axis:])
            for rest, names in alike.items()
        ]
    return blocks


def _named(block: tuple[tuple[str, ...], ...], whole: Sequence[set[str]]) -> str:
    """Such as "knn, linear of runs/mae@9 on photos", without what is all that was asked."""
    words = ("", "of ", "on ")
    parts = zip(words, block, whole, strict=True)
    some = ((word, names) for word, names, all_ in parts if {*names} not in (all_, {""}))
    return " ".join(word + ", ".join(names) for word, names in some)
