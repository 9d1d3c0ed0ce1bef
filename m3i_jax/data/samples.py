"""What a source of data is: an indexed collection of samples, and nothing more."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class Sample(NamedTuple):
    """One record as the host sees it, before any crop.

    image: (H, W, 3) uint8.   label: index into the source's classes, -1 = none.
    caption: "" = none; several captions of one image are lines of their own.
    mask: (H, W) uint8 categories, 0 = background, c + 1 = class c.   None where there is none.
    box: (4,) float32 top, left, height, width of the object in pixels.   None where there is none.
    """

    image: np.ndarray
    label: int = -1
    caption: str = ""
    mask: np.ndarray | None = None
    box: np.ndarray | None = None

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions one by one; () where there is none."""
        return tuple(line for line in self.caption.split("\n") if line.strip())


@runtime_checkable
class Source(Protocol):
    """A data set: any object with these members; nothing has to be inherited.

    Reading must be a pure function of the index and safe from several threads at once.

    name: for logs and reports.   classes: names of the labels, () if unlabelled.
    Two members are optional: `where(index) -> str`, which names a record in reports (a path), and
    `evaluation_ratio: float`, the share of the short side that an evaluation crop keeps
    (`crops.center_crop`; 0.875 where a source does not say).
    """

    name: str
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, index: int) -> Sample:
        """The record with this number, 0 <= index < len(self)."""

    def captions(self) -> Iterable[str]:
        """`Sample.caption` of all records in order, without decoding an image."""

    def fingerprint(self) -> str:
        """A digest that changes whenever a record would."""
