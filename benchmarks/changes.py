"""Ways to change a work directory: its bytes, its files, its steps.

Each takes the folder of the checkpoints and a generator of random numbers, and says what it did.
"""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from forgeries import FORGERIES, steps

Change = Callable[[Path, random.Random], str]


def files(place: Path, *, some: bool = True) -> list[Path]:
    """Ordinary files of a folder; `some`: that have something in them."""
    found = sorted(p for p in place.rglob("*") if p.is_file() and not p.is_symlink())
    return [p for p in found if p.stat().st_size or not some]


def one(folder: Path, rng: random.Random) -> Path:
    """A file with something in it: of the newest step, mostly."""
    there = steps(folder)
    return rng.choice(files(there[-1] if rng.random() < 0.8 else rng.choice(there)))


def called(path: Path, folder: Path) -> str:
    """A file as it is called in the folder of the checkpoints."""
    return str(path.relative_to(folder))


# Bytes.


def bit(folder: Path, rng: random.Random) -> str:
    """One bit is another."""
    path = one(folder, rng)
    data, at = bytearray(path.read_bytes()), rng.randrange(path.stat().st_size)
    data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{called(path, folder)} at {at}"


def block(folder: Path, rng: random.Random) -> str:
    """A piece of a file is zeros or noise."""
    path = one(folder, rng)
    data, at = bytearray(path.read_bytes()), rng.randrange(path.stat().st_size)
    size = min(rng.randint(1, 4096), len(data) - at)
    data[at : at + size] = bytes(size) if rng.random() < 0.5 else rng.randbytes(size)
    data[at] ^= data == path.read_bytes()
    path.write_bytes(data)
    return f"{called(path, folder)}, {size} bytes at {at}"


def cut(folder: Path, rng: random.Random) -> str:
    """A file ends early."""
    path = one(folder, rng)
    size = rng.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{called(path, folder)} to {size}"


def longer(folder: Path, rng: random.Random) -> str:
    """There is something behind the end of a file."""
    path = one(folder, rng)
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randint(1, 64)))
    return called(path, folder)


def empty(folder: Path, rng: random.Random) -> str:
    """Nothing is left of a file but its name."""
    path = one(folder, rng)
    path.write_bytes(b"")
    return called(path, folder)


def zeros(folder: Path, rng: random.Random) -> str:
    """A file has its size and no content."""
    path = one(folder, rng)
    path.write_bytes(bytes(path.stat().st_size))
    return called(path, folder)


# Files.


def gone(folder: Path, rng: random.Random) -> str:
    """A file is not there."""
    path = one(folder, rng)
    path.unlink()
    return called(path, folder)


def renamed(folder: Path, rng: random.Random) -> str:
    """A file has another name."""
    path = one(folder, rng)
    path.rename(path.with_name(path.name + rng.choice((".old", "~", " ", "2"))))
    return called(path, folder)


def added(folder: Path, rng: random.Random) -> str:
    """There is a file that nobody wrote."""
    place = rng.choice([p for p in (steps(folder)[-1]).rglob("*") if p.is_dir()])
    name = rng.choice(("manifest.json", "manifest.ocdbt", "x", "_METADATA", "_sharding", "0"))
    path = place / name
    if not path.exists():
        path.write_bytes(rng.choice((b"", b"{}", rng.randbytes(100))))
    return called(path, folder)


def exchanged(folder: Path, rng: random.Random) -> str:
    """Two files of one step."""
    step = steps(folder)[-1]
    first, second = rng.sample(files(step), 2)
    swapped(first, second)
    return f"{called(first, folder)} and {called(second, folder)}"


def of_another_step(folder: Path, rng: random.Random) -> str:
    """A file is that of an older step, or has its name."""
    new, old = steps(folder)[-1], rng.choice(steps(folder)[:-1])
    path = rng.choice(files(old))
    target = new / path.relative_to(old)
    if not target.exists():  # arrays lie in files whose names are drawn: beside them, or for one
        target = rng.choice(files(new))
    shutil.copy(path, target)
    return f"{called(path, folder)} as {called(target, folder)}"


def other_kind(folder: Path, rng: random.Random) -> str:
    """Something with the name of a file that is none."""
    path = one(folder, rng)
    links = {"link to nothing": "nowhere", "link to a device": "/dev/zero", "loop": path.name}
    kind = rng.choice(("folder", "pipe", *links))
    path.unlink()
    if kind in links:
        path.symlink_to(links[kind])
    else:
        {"folder": os.mkdir, "pipe": os.mkfifo}[kind](path)
    return f"{called(path, folder)} is a {kind}"


def forbidden(folder: Path, rng: random.Random) -> str:
    """A file may not be read, but by root."""
    path = one(folder, rng)
    path.chmod(0)
    return called(path, folder)


# Items and steps.


def swapped(first: Path, second: Path) -> None:
    """Exchanges two names."""
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def items(folder: Path, rng: random.Random) -> str:
    """Two items of the newest step have changed their names."""
    step = steps(folder)[-1]
    first, second = rng.sample([p for p in step.iterdir() if p.is_dir()], 2)
    swapped(first, second)
    return f"{called(first, folder)} and {called(second, folder)}"


def item_of_another_step(folder: Path, rng: random.Random) -> str:
    """An item of the newest step is that of an older one."""
    new, old = steps(folder)[-1], rng.choice(steps(folder)[:-1])
    item = rng.choice([p.name for p in new.iterdir() if p.is_dir()])
    shutil.rmtree(new / item)
    shutil.copytree(old / item, new / item)
    return f"{old.name}/{item} in {new.name}"


def item_gone(folder: Path, rng: random.Random) -> str:
    """An item is not there."""
    item = rng.choice([p for p in steps(folder)[-1].iterdir() if p.is_dir()])
    shutil.rmtree(item)
    return called(item, folder)


def two_steps(folder: Path, rng: random.Random) -> str:
    """Two steps have changed their names."""
    first, second = rng.sample(steps(folder), 2)
    swapped(first, second)
    return f"{first.name} and {second.name}"


def copied_step(folder: Path, rng: random.Random) -> str:
    """A step is there a second time, under another number or none."""
    step = rng.choice(steps(folder))
    name = rng.choice(("999", "31", "11", "0", "9" * 30, "0030", "030", "٣٠", "٩٩", "1e3", "-5"))
    shutil.copytree(step, folder / name)
    return f"{step.name} as {name}"


def renamed_step(folder: Path, rng: random.Random) -> str:
    """The newest step has another number."""
    step = steps(folder)[-1]
    name = rng.choice(("29", "31", "300", "9" * 100, "0030", "٣٠"))
    step.rename(folder / name)
    return f"{step.name} to {name}"


def hollow_step(folder: Path, rng: random.Random) -> str:
    """Something has the name of a newer step that is none."""
    name = rng.choice(("40", "35"))
    rng.choice((lambda p: p.mkdir(), lambda p: p.write_text("{}"), os.mkfifo))(folder / name)
    return name


def link_to_step(folder: Path, rng: random.Random) -> str:
    """A link with the name of another step leads to one."""
    step = rng.choice(steps(folder))
    name = rng.choice(("40", "29"))
    (folder / name).symlink_to(step.name)
    return f"{name} to {step.name}"


def everywhere(folder: Path, rng: random.Random) -> str:
    """Every step is damaged: there is nothing to go back to."""
    for step in steps(folder):
        path = rng.choice(files(step))
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    return "a bit of each step"


CHANGES: tuple[Change, ...] = (
    bit, block, cut, longer, empty, zeros, gone, renamed, added, exchanged, of_another_step,
    other_kind, forbidden, items, item_of_another_step, item_gone, two_steps, copied_step,
    renamed_step, hollow_step, link_to_step, everywhere, *FORGERIES,
)  # fmt: skip


def changed(workdir: Path, number: int, rng: random.Random) -> str:
    """The change of a number, and behind every fourth a second one; what was done."""
    folder, change = workdir / "checkpoints", CHANGES[number % len(CHANGES)]
    what = f"{change.__name__}: {change(folder, rng)}"
    whole = all(step.is_dir() and files(step) for step in steps(folder))
    if rng.random() < 0.25 and whole:
        second = rng.choice((bit, cut, gone, zeros, longer))
        what += f"; {second.__name__}: {second(folder, rng)}"
    return what
