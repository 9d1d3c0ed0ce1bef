"""From sources to a prepared copy: part by part, each sealed, so that a killed run goes on.

The same sources and settings give the same bytes, whatever the threads, and however often the run
was killed.
"""

import contextlib
import itertools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from m3i_jax import jsonfile, ordinary
from m3i_jax.data.ahead import ahead
from m3i_jax.data.prepare import folders, seals, shard_files, tar_files
from m3i_jax.data.prepare.parts import Part
from m3i_jax.data.prepare.rows import Row
from m3i_jax.data.prepare.seals import Seal
from m3i_jax.data.prepare.tally import Passing, Tally
from m3i_jax.data.prepare.work import ARRAY_RECORD, FOLDER, TAR, Work
from m3i_jax.data.sources import caption_lines, manifest, protocol
from m3i_jax.data.sources.manifest import Manifest, Stored
from m3i_jax.data.sources.protocol import Source

LOG = logging.getLogger(__name__)
WAITING = 4  # rows that wait for each thread
REPORT = "unreadable.jsonl"
LISTED = "m3i.folder"  # what dataset.json says it is of, where it is beside no shards

WRITERS = {ARRAY_RECORD: shard_files.write, TAR: tar_files.write, FOLDER: folders.write}
SUFFIXES = {ARRAY_RECORD: ".array_record", TAR: tar_files.SUFFIX, FOLDER: ""}  # of parts

Tick = Callable[[int], None]
T = TypeVar("T")


def check(work: Work) -> None:
    """Refuses what cannot be written, before a record is read.

    Raises:
      ConfigError: classes that are no names of folders, or a library that is missing.
    """
    if work.settings.format == ARRAY_RECORD:
        shard_files.installed()
        return
    if work.settings.format == TAR:
        return tar_files.check(work.classes)
    folders.check(work.classes)
    if [*work.classes] != sorted(work.classes):
        LOG.warning("folders are classes in the order of their names: labels get other numbers")


def made(folder: Path) -> Mapping[str, Any] | None:
    """Of what and how the copy in a folder was made; None where there is none that is whole."""
    place = folder / manifest.FILE
    try:
        return jsonfile.read(place)["made"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(
    work: Work, *, threads: int, unreadable: float = 0.001, tick: Tick = lambda done: None
) -> dict[str, list[Seal]]:
    """Writes every part that is not sealed, and `dataset.json` at last; the seals by split.

    unreadable: share of a split that may be broken, and is left out.
    tick: is told how many records are done, of all of them.

    Raises:
      ConfigError: the folder holds something else.
      TooManyUnreadable: more of a split is broken than may be; what is sealed stays.
      OSError: the disk is full, or does not let itself be written to; what is sealed stays.
    """
    seals.begin(work.folder, work.made())
    tally, done, todo = Tally(unreadable), {}, []
    for part in work.parts():
        if there := seals.sealed(work.folder, part.name):
            done[part.name] = there
            tally.add(part, [reason for *_, reason in there.broken])
        else:
            todo.append(part)
    start = sum(map(len, work.sources.values())) - sum(len(part.indices) for part in todo)
    if start:
        LOG.info("%d records are there already: going on behind them", start)
    write_part = WRITERS[work.settings.format]
    with in_order(work.row, todo, threads=threads) as rows:
        counted = _counted(rows, tick, start)
        for part in todo:
            passing = Passing(part, itertools.islice(counted, len(part.indices)), tally)
            stored = write_part(work.folder, part, passing)
            done[part.name] = passing.seal(stored)
            if work.settings.format == ARRAY_RECORD:
                lines = caption_lines.lines(passing.captions)
                seals.keep_captions(work.folder, part.name, lines)
            seals.seal(work.folder, part.name, done[part.name])
    by_split = {
        split: [done[part.name] for part in work.parts() if part.split == split]
        for split in work.sources
    }
    finish(work, by_split)
    return by_split


def finish(work: Work, sealed: Mapping[str, Sequence[Seal]]) -> None:
    """Lists what was left out, and writes `dataset.json`, last of all."""
    lines = [
        {"split": split, "index": index, "record": name, "reason": reason}
        for split, own in sealed.items()
        for one in own
        for index, name, reason in (*one.broken, *one.left_out)
    ]
    if lines:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        ordinary.written(work.folder / REPORT, text.encode(), sync=True)
    stored = {split: _stored(work, split, own) for split, own in sealed.items()}
    if work.settings.format == TAR and work.classes:
        tar_files.name_classes(work.folder, work.classes)
    if work.settings.format != ARRAY_RECORD:
        _list(work, stored)
    else:
        splits = {split: _split(work, split, stored[split], own) for split, own in sealed.items()}
        whole = Manifest(work.classes, splits, work.made(), *work.named)
        manifest.write(work.folder, whole)
    seals.end(work.folder)


@contextlib.contextmanager
def in_order(
    make: Callable[[Source, int], T], parts: Sequence[Part], *, threads: int
) -> Iterator[Iterator[T]]:
    """make(source, index) of the records of parts in their order, by several threads.

    Few wait, as each holds an image.
    """
    asked = ((part.source, int(index)) for part in parts for index in part.indices)
    with ThreadPoolExecutor(threads, thread_name_prefix="m3i-prepare") as pool:
        results = ahead(pool, lambda pair: make(*pair), asked, most=WAITING * threads)
        with contextlib.closing(results):
            yield results


def _counted(rows: Iterator[Row], tick: Tick, start: int) -> Iterator[Row]:
    for done, one in enumerate(rows, start):
        tick(done)
        yield one


def _stored(work: Work, split: str, own: Sequence[Seal]) -> tuple[Stored, ...]:
    """The files of shards, or the stretches of a folder."""
    parts = [part for part in work.parts() if part.split == split]
    suffix = SUFFIXES[work.settings.format]
    return tuple(
        Stored(part.name + suffix, one.records, one.bytes, one.sha256)
        for part, one in zip(parts, own, strict=True)
    )


def _split(
    work: Work, split: str, stored: tuple[Stored, ...], own: Sequence[Seal]
) -> manifest.Split:
    labels = [label for one in own for label in one.labels]
    labelled = max(labels, default=-1) >= 0
    known = manifest.write_labels(work.folder, split, labels) if labelled else None
    unknown = protocol.account(work.sources[split]).unknown
    captioned, captions = sum(one.captioned for one in own), None
    if captioned:
        parts = [part.name for part in work.parts() if part.split == split]
        place = seals.join_captions(work.folder, parts, f"{split}.{seals.CAPTIONS}")
        captions = manifest.stored(place, sum(one.records for one in own))
    return manifest.Split(stored, known, captioned, dict(unknown), captions)


def _list(work: Work, stored: Mapping[str, tuple[Stored, ...]]) -> None:
    """`dataset.json` beside images or tar files, which nothing but `m3i prepare` reads."""
    splits = {split: [one._asdict() for one in own] for split, own in stored.items()}
    head = {"format": LISTED, "version": 1, "classes": list(work.classes)}
    text = json.dumps(head | {"made": work.made(), "splits": splits}, indent=1)
    ordinary.written(work.folder / manifest.FILE, text.encode(), sync=True)
