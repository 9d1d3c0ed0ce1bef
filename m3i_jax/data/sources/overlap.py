"""Images of a test split that training has, too: linked, or the same bytes under another name."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISREG

from m3i_jax.data.sources.subset import places

TESTED = 2000  # test images that are looked for
TRAINED = 100_000  # training images that they are looked for among
READ = 64 * 2**20  # bytes that are compared where sizes are equal


def warning(train: Sequence[Path], test: Sequence[Path]) -> str:
    """How many test images are among those of training, as a sentence; "" where none is found.

    Files of a split that has more than `TESTED` or `TRAINED` are taken evenly spread.
    """
    chosen = [test[i] for i in places(len(test), TESTED).tolist()]
    known = _stated([train[i] for i in places(len(train), TRAINED).tolist()])
    asked = _stated(chosen)
    twins = _linked(asked, known)
    twins |= _alike({test: stat for test, stat in asked.items() if test not in twins}, known)
    if not twins:
        return ""
    one, other = next(iter(twins.items()))
    return (
        f"{len(twins)} of {len(chosen)} test images that were looked at are training images, too, "
        f"as '{one}' is '{other}': what is measured on them has been trained on"
    )


def _stated(files: Sequence[Path]) -> dict[Path, tuple[int, int, int]]:
    """(device, inode, size) of the files that are there."""
    stats = {}
    for file in files:
        try:
            stat = file.stat()
        except OSError:  # said where it is read
            continue
        if S_ISREG(stat.st_mode):
            stats[file] = (stat.st_dev, stat.st_ino, stat.st_size)
    return stats


def _linked(asked, known) -> dict[Path, Path]:
    """The files that are one with a file of training."""
    places = {(device, inode): file for file, (device, inode, _) in known.items()}
    return {test: places[at[:2]] for test, at in asked.items() if at[:2] in places}


def _alike(asked, known) -> dict[Path, Path]:
    """The files of the same bytes as one of training, as far as `READ` bytes tell."""
    sizes: dict[int, list[Path]] = {}
    for file, (*_, size) in known.items():
        sizes.setdefault(size, []).append(file)
    digests: dict[int, dict[bytes, Path]] = {}
    left, twins = READ, {}
    for test, (*_, size) in asked.items():
        if not size or size not in sizes:
            continue
        cost = size * (1 + (0 if size in digests else len(sizes[size])))
        if cost > left:
            continue
        left -= cost
        if size not in digests:
            digests[size] = {_digest(file): file for file in sizes[size]}
        if other := digests[size].get(_digest(test)):
            twins[test] = other
    return twins


def _digest(file: Path) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except (OSError, ValueError):  # of a disk, or of a zip
        return bytes(file)  # like no other
