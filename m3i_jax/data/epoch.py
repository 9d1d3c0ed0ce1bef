"""One pass over a source in its order, for evaluation: every record once, padding masked."""

import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.captions import Captions
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.stream import Stream, Work
from m3i_jax.data.views.affine import of_box, warped
from m3i_jax.data.views.annotated import Wanted, carried
from m3i_jax.data.views.crops import center_crop
from m3i_jax.types import Array, Batch, Share

Cut = Callable[..., tuple[Array, Array]]  # (image, size=side) -> view, packed box
Frame = Callable[[Sample, tuple[int, int]], Array]  # (sample, its view's size) -> packed box
RATIO = 0.875  # of the short side that an evaluation keeps, where a source says no other


class Rows(NamedTuple):
    """One batch of an evaluation pass.

    batch: `Batch` with the view "a"; rows that only fill it up, and those of records that cannot
      be read, are black, with label -1.
    real: (B,) bool, False for those rows. Sums must be masked with it: padding never counts.
    number: (B,) which records of the data set they are.
    lost: (B,) bool, True for records that cannot be read, of a source that forgives them.
    """

    batch: Batch
    real: Array
    number: Array
    lost: Array | None = None


def epoch(
    source: Source,
    *,
    batch: int,
    size: int | tuple[int, int],
    ratio: float | None = None,
    cut: Cut | None = None,
    frame: Frame | None = None,
    tokenizer: Captions | None = None,
    annotations: Wanted | None = None,
    threads: int = 0,
    share: Share = Share(),
) -> Iterator[Rows]:
    """One pass over `source` in order, for evaluation; only the last batch is padded.

    Args:
      source: where the samples come from.
      batch: global batch size, over all hosts.
      size: height and width of the view, see `crops.center_crop`; or both.
      ratio: share of the short side that is kept; the source's own `evaluation_ratio` when None,
        or 0.875.
      cut: makes the view, as `whole_images.stretched` and `padded` do; None = `crops.center_crop`,
        which alone has a ratio.
      frame: in its place, says of a sample where the view is, as `person_crops.person_box` does.
      tokenizer: turns captions into `Batch.text`, the first of each sample.
      annotations: which of them `Batch.annotations` has, in pixels of the view.
      threads: that read; 0 = one for each core that this process may use.
      share: which rows of every batch this host reads, as in `batches`.
    """
    if batch < 1 or batch % share.count:
        raise ConfigError(f"a batch of {batch} cannot be divided into {share.count} shares")
    ratio = getattr(source, "evaluation_ratio", RATIO) if ratio is None else ratio
    cut = functools.partial(center_crop, ratio=ratio) if cut is None else cut
    total = len(source)

    def row(index: int) -> Rows:
        record = protocol.read(source, index) if index < total else None
        sample = record or Sample(np.zeros((*_shape(size), 3), np.uint8))
        view, box = _view(sample, size, cut, frame)
        text = tokenizer.encode((*sample.captions, "")[0]) if tokenizer else None
        said = {"a": carried(sample, box, view.shape[:2], annotations)} if annotations else None
        batch = Batch({"a": view}, {"a": box}, np.int32(sample.label), text, annotations=said)
        real = record is not None
        return Rows(batch, real, index, lost=index < total and not real)

    def number(step: int, index: int) -> int:
        return step * batch + share.number(index, batch)

    def where(step: int, index: int) -> str:
        return protocol.where(source, number(step, index))

    work = Work(
        lambda step, index: row(number(step, index)),
        rows=share.rows(batch),
        last=-(-total // batch),
        where=where,
    )
    with Stream(work, batch=batch, threads=threads) as stream:
        for rows, _ in stream:
            yield rows


def _view(
    sample: Sample, size: int | tuple[int, int], cut: Cut, frame: Frame | None
) -> tuple[Array, Array]:
    """The view of a sample and its packed box."""
    if frame is None:
        return cut(sample.image, size=size)
    box = frame(sample, shape := _shape(size))
    return warped(sample.image, of_box(box, shape), shape), box


def _shape(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)
