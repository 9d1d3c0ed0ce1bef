r"""Makes a copy of a data set that a run reads faster: resized, in shards or folders, checked.

    m3i prepare photos/ --output photos_256/
    m3i prepare tar_shards:root=shards/ --output copy/ --size=320 --shards=128
    m3i prepare photos/ --output copy/ --format=folder --size=0 --verify

Images whose short side is longer than --size are resized to it, antialiased, as JPEG; others keep
their bytes. Classes, captions, boxes, masks, depth and key points go along. Killed or interrupted,
the same command goes on behind the last part that was done; the bytes are the same however often
that happens, and whatever --threads. What cannot be read is left out and listed in
unreadable.jsonl. --verify reads everything back, also of a copy that was made before.

Exit status: 0 done, 2 a command line that cannot be run, 65 too much of the data cannot be read,
74 a disk that is full or read-only, or a copy that is not what was written.
"""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from m3i_jax import cli, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import number, one_of, switch, text, whole
from m3i_jax.ranges import CountOrOff, Range, Rate, Seed

LOG = logging.getLogger(__name__)
Quality = Annotated[int, Range(1, 100)]
Shards = Annotated[int, Range(0, 100_000)]
Threads = Annotated[int, Range(0, 256)]
DATA = text(
    "data", None, "The same as a word: a folder, or a source with its settings.", required=True
)
OUTPUT = text("output", None, "Folder of the copy.", required=True)
SIZE = whole("size", 256, "Short side in pixels; 0 resizes nothing.", limits=CountOrOff)
QUALITY = whole("quality", 95, "Of the JPEG of a resized image.", limits=Quality)
FORMAT = one_of(
    "format", "array_record", ["array_record", "tar", "folder"], "Shards, or image files."
)
SHARDS = whole("shards", 0, "Of the training split; 0 = one for 10000 images.", limits=Shards)
ORDER = one_of("order", "read", ["read", "shuffled"], "Of the records: the source's, or drawn.")
SEED = whole("seed", 0, "Of --order=shuffled.", limits=Seed)
THREADS = whole("threads", 0, "How many read; 0 = the cores that there are.", limits=Threads)
UNREADABLE = number(
    "unreadable", None, "Share of a split that may be left out; else 0.001, and 0.5 of a folder.",
    limits=Rate,
)  # fmt: skip
VERIFY = switch("verify", "Read everything back and compare.")


def main() -> None:
    """Writes the copy, or goes on with it; then reads it back where that is asked for."""
    from m3i_jax.data import cores
    from m3i_jax.data.prepare import copy, seals, verify
    from m3i_jax.data.sources import folder_tree
    from m3i_jax.evaluation import datasets, progress

    with folder_tree.listed_once():
        block = datasets.settled(datasets.block(DATA.value))
        work = asked(block)
    copy.check(work)
    threads = THREADS.value or cores.usable()
    total = sum(map(len, work.sources.values()))
    there = copy.made(work.folder)
    if there is None:
        tick = progress.rated("preparing image", total=total, unit="images")
        share = datasets.forgiven(block) if UNREADABLE.value is None else UNREADABLE.value
        sealed = copy.write(work, threads=threads, unreadable=share, tick=tick)
        print("\n".join(said(work, sealed)))
    else:
        seals.refuse_others(there, work.made(), work.folder)
        seals.end(work.folder)
        print(f"'{work.folder}' is whole already")
    if VERIFY.value:
        tick = progress.rated("reading back image", total=total, unit="images")
        print(f"all {verify.verify(work, threads=threads, tick=tick)} records are as written")
    name = {"folder": "image_folder", "tar": "tar_shards"}.get(FORMAT.value, FORMAT.value)
    in_folder = FORMAT.value == "folder"
    labels = block.get("labels") if in_folder else None
    more = f" --config.data.labels={labels}" if labels else ""
    print(f"read it: m3i pretrain {'' if in_folder else f'{name}:root='}{work.folder}, or")
    print(f"  --config.data.name={name} --config.data.root={work.folder}{more}")


def asked(block: Mapping[str, Any]) -> Any:
    """What the flags ask for of a data set, with its sources opened.

    Raises:
      ConfigError: the output lies inside the input.
    """
    from m3i_jax import data
    from m3i_jax.data.prepare.work import Settings, Work
    from m3i_jax.data.sources.protocol import NoSplit

    folder = OUTPUT.value
    refuse_inside(block, Path(folder))
    train = data.source(block, split="train")
    sources = {"train": train}
    try:
        sources["test"] = data.source(block, split="test", classes=train.classes)
    except NoSplit:
        pass
    seed = SEED.value if ORDER.value == "shuffled" else None
    settings = Settings(SIZE.value, QUALITY.value, SHARDS.value, FORMAT.value, seed)
    return Work(sources, Path(folder), settings, root=next(roots(block), ""))


def refuse_inside(block: Mapping[str, Any], folder: Path) -> None:
    """Refuses an output that is or lies in a folder of the input.

    Raises:
      ConfigError: naming it.
    """
    for root in roots(block):
        if folder.resolve().is_relative_to(Path(root).expanduser().resolve()):
            raise ConfigError(f"--output is '{folder}', inside of the data in '{root}'")


def roots(block: Mapping[str, Any]) -> Iterator[str]:
    """The places that a block of a source, and those in it, name as their root."""
    for key, value in block.items():
        if key == "root" and isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            yield from roots(value)


def said(work: Any, sealed: Mapping[str, Any]) -> Iterator[str]:
    """What was written, a line for each split."""
    from m3i_jax.data.prepare.copy import REPORT

    for split, own in sealed.items():
        records, copied = sum(one.records for one in own), sum(one.copied for one in own)
        size, broken = sum(one.bytes for one in own), sum(len(one.broken) for one in own)
        line = f"{split}: {records} records, {ordinary.size(size)}; {copied} images as they were"
        left = f"; {broken} left out, which '{work.folder / REPORT}' lists" if broken else ""
        yield line + left


def run() -> None:
    """The command."""
    cli.run(main, words=DATA)
