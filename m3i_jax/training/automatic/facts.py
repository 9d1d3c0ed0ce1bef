"""What a config can be made of: facts of a data set and of a machine, and what somebody wishes."""

import io
import itertools
import os
import statistics
import time
from typing import NamedTuple

import jax
from PIL import Image

from m3i_jax.data import cores
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.decoding import FORMATS
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.subset import places

SEEN = 256  # records whose headers are read
PATIENCE = 1.0  # seconds for all of them
GREY = ("1", "L", "LA", "I", "I;16", "I;16B")


class Images(NamedTuple):
    """A data set.

    count: of records.  side: median of the short sides in pixels, of those looked at.
    grey: whether none of these has colours.  classes: how many there are.  labelled: records.
    captioned: whether any record has a caption.  test: whether there is a test split.
    """

    count: int
    side: int
    grey: bool = False
    classes: int = 0
    labelled: int = 0
    captioned: bool = False
    test: bool = False

    @property
    def labels(self) -> bool:
        """Whether there is something to tell apart."""
        return self.classes > 1 and self.labelled > 0


class Machine(NamedTuple):
    """cores: that this process may use.  devices: that compute.  accelerated: they are no CPUs.
    memory: bytes of one of them; 0 = not known.
    """

    cores: int
    devices: int = 1
    accelerated: bool = False
    memory: int = 0


class Wish(NamedTuple):
    """What somebody says of a run.

    method: its name.  encoder: its name, "" = one that fits.
    duration: a length such as "50 epochs" or "10 minutes".
    """

    method: str
    encoder: str = ""
    duration: str = "10 minutes"


def of_source(source: Source, *, test: bool) -> Images:
    """The facts of a training split; headers of some records are read, for a second at most.

    test: whether there is a test split beside it.
    """
    sides, grey, start = [], True, time.monotonic()
    for index in places(len(source), SEEN).tolist():
        if (seen := _look(source, index)) is not None:
            sides.append(seen[0])
            grey = grey and seen[1]
        if time.monotonic() > start + PATIENCE:
            break
    return Images(
        count=len(source),
        side=round(statistics.median(sides)) if sides else 0,
        grey=grey and bool(sides),
        classes=len(source.classes),
        labelled=protocol.account(source).labelled,
        captioned=any(itertools.islice(source.captions(), SEEN)),
        test=test,
    )


def of_machine() -> Machine:
    """The facts of this machine."""
    devices = jax.devices()
    accelerated = devices[0].platform != "cpu"
    stats = devices[0].memory_stats() if accelerated else None
    return Machine(
        cores.usable(),
        len(devices),
        accelerated,
        (stats or {}).get("bytes_limit", 0) if accelerated else _physical(),
    )


def _physical() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _look(source: Source, index: int) -> tuple[int, bool] | None:
    """(short side, whether it is grey) of a record; None of one that cannot be read."""
    try:
        if hasattr(source, "encoded"):
            with Image.open(io.BytesIO(source.encoded(index)), formats=FORMATS) as image:
                return min(image.size), image.mode in GREY
        pixels = source[index].image
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001, whatever a disk or a decoder raises: the run names it
        return None
    return min(pixels.shape[:2]), bool((pixels == pixels[..., :1]).all())
