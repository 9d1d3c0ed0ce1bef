"""From a source to batches: shuffled for ever, resumable at any step, equal on any hosts.

    row g of the stream = crops(source[order(seed, ⌊g / r⌋)], rng(seed, g)), with one of its
    captions;   batch s = rows s B ... (s + 1) B - 1;   host p of n takes the p-th n-th of them

r is `Crops.repeats`, 1 but for repeated augmentation. A batch is a pure function of (seed, step):
threads and hosts change who computes it and nothing else, and the only state is the number of
samples already used.
"""

from collections.abc import Callable
from logging import getLogger
from typing import Any

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.captions import Captions
from m3i_jax.data.order import Ordered, Segment, continued, order_of
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.decoding import Decoder
from m3i_jax.data.sources.fast_decoding import faster
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.stream import BYTES, State, Stream, Work
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.data.views.kinds import Views
from m3i_jax.types import Batch, Share

LOG = getLogger(__name__)
SEGMENTS = "segments"  # in the state of a mixture: with which weights it was drawn, and from when


def batches(
    source: Source,
    *,
    batch: int,
    seed: int,
    crops: Views,
    tokenizer: Captions | None = None,
    annotations: Wanted | None = None,
    threads: int = 0,
    ahead: int = BYTES,
    start: State | None = None,
    share: Share = Share(),
    leave: Callable[[], bool] = lambda: False,
) -> Stream:
    """The endless training stream of `source`, every record once per epoch, reshuffled each time.

    With r repeats, r rows in succession are of one record: an epoch, N rows, is of N / r records.

    Args:
      source: where the samples come from.
      batch: global batch size, over all hosts.
      seed: of the order and of the crops, 0 <= seed < 2^32.
      crops: (sample, generator) -> row, one of `views.kinds`.
      tokenizer: turns captions into `Batch.text`, one drawn from those of a sample; None leaves
        it None.
      annotations: which of them `Batch.annotations` has, cut with each view; nothing is drawn.
      threads: that read; 0 = one for each core that this process may use.
      ahead: bytes that may be read ahead, see `Stream`.
      start: a state that a stream gave; None starts at the first sample.
      share: which rows of every batch this host reads; of n hosts, `Share((p,), n)` is those from
        p B / n on, and `parallel.sharding.share` what a mesh has of them.
      leave: asked while a batch is late; True ends the stream.

    Raises:
      ConfigError: sizes that do not divide, a state in a batch, annotations that would not fit.
    """
    sample = _checked(batch, share, threads, start)
    _require_fit(annotations, crops)
    if crops.decode == "fast":
        source = _faster(source, crops)
    so_far = [Segment(*segment) for segment in (start or {}).get(SEGMENTS, ())]
    segments = continued(source, so_far, at=-(-sample // crops.repeats))
    order = order_of(source, seed=seed, segments=segments)
    samples = Ordered(source, order, times=crops.repeats)
    rows = _drawn(samples, _row(crops, tokenizer, annotations), seed)

    def number(step: int, index: int) -> int:
        return step * batch + share.number(index, batch)

    work = Work(
        lambda step, index: rows[number(step, index)],
        rows=share.rows(batch),
        first=sample // batch,
        where=lambda *row: protocol.where(source, order(number(*row) // crops.repeats)),
        name="data",
    )
    also = {SEGMENTS: [list(segment) for segment in segments]} if segments else {}
    return Stream(work, batch=batch, threads=threads, ahead=ahead, leave=leave, also=also)


def records(source: Source, *, batch: int, seed: int, repeats: int, behind: State) -> list[int]:
    """Which record each row of a batch is of, over all hosts.

    behind: the state behind the batch.  The other arguments are those of `batches`; repeats are
    those of its crops.
    """
    segments = [Segment(*segment) for segment in behind.get(SEGMENTS, ())]
    order, first = order_of(source, seed=seed, segments=segments), behind["sample"] - batch
    return [order((first + row) // repeats) for row in range(batch)]


def _checked(batch: int, share: Share, threads: int, start: State | None) -> int:
    """The first sample; refuses what `batches` says."""
    if batch < 1 or batch % share.count:
        raise ConfigError(
            f"a batch of {batch} cannot be divided into {share.count} shares; "
            f"the nearest larger batch is {-(-max(batch, 1) // share.count) * share.count}"
        )
    if threads < 0:
        raise ConfigError(f"threads is {threads}, expected 1 or more, or 0: one a core")
    sample = start["sample"] if start else 0
    if sample % batch:
        raise ConfigError(
            f"the data position, sample {sample}, is not a multiple of the batch size {batch}; "
            "the stream that it was saved from had another batch size"
        )
    return sample


def _require_fit(annotations: Wanted | None, crops: Views) -> None:
    """Refuses views whose pixels are not where annotations say."""
    if annotations is None:
        return
    if crops.decode == "fast":
        raise ConfigError(
            "annotations are in pixels of the image, which crops.decode='fast' may make smaller: "
            "leave it 'exact' ('fast' of crops.resize is fine)"
        )
    if crops.rand_augment:
        raise ConfigError(
            "crops.rand_augment shears, shifts and turns what annotations name; leave it out, or "
            "take config.augment's colours"
        )


def _faster(source: Source, crops: Views) -> Source:
    """The source with faster decoders; says where there are none to replace."""
    met = []

    def change(own: Decoder) -> Decoder:
        met.append(own)
        return faster(own, crops.reduction)

    source = protocol.decoded_by(source, change)
    if not met:
        LOG.warning("crops.decode='fast' changes nothing: '%s' decodes no files", source.name)
    return source


def _drawn(samples: Ordered, row: Callable[..., Batch], seed: int) -> Any:
    """Row number -> row, whose generator is keyed by the number."""
    import grain  # late, as a run is described before it reads

    return grain.MapDataset.source(samples).random_map(row, seed=seed)


def _row(
    crops: Views, tokenizer: Captions | None, annotations: Wanted | None
) -> Callable[[Sample, np.random.Generator], Batch]:
    """(sample, generator) -> row."""

    def row(sample: Sample, rng: np.random.Generator) -> Batch:
        views = crops.annotated(sample, rng, annotations) if annotations else crops(sample, rng)
        if tokenizer is None:
            return views
        captions = sample.captions or ("",)
        # Drawn after the views, and only where there is a choice: one caption costs no number.
        chosen = captions[rng.integers(len(captions))] if len(captions) > 1 else captions[0]
        return views._replace(text=tokenizer.encode(chosen))

    return row
