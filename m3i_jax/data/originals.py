"""One pass over a source, record by record, in the sizes that they have: dense evaluation.

What is predicted for a view is brought back to the pixels of its image (`whole_images.restored`)
and held against what the record says of them.
"""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger
from typing import NamedTuple

from m3i_jax.data import cores
from m3i_jax.data.ahead import ahead
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.views.whole_images import kept_ratio
from m3i_jax.types import Array, Share

LOG = getLogger(__name__)
Cut = Callable[[Array], tuple[Array, Array]]  # (H, W, 3) image -> view, packed box


class Original(NamedTuple):
    """A record as it is, and its view.

    number: which record of the source.   sample: of it, annotations in pixels of its image.
    view: (h, w, 3) uint8.   box: (6,) float32, where that was cut.
    """

    number: int
    sample: Sample
    view: Array
    box: Array


def originals(
    source: Source,
    *,
    cut: Cut = functools.partial(kept_ratio, multiple=16),
    threads: int = 0,
    share: Share = Share(),
) -> Iterator[Original]:
    """Every record once, in order; what cannot be read is left out, and the log says how many.

    Args:
      source: where the records come from.
      cut: makes the view of an image.
      threads: that read; 0 = one for each core that this process may use.
      share: every which records this process has; all processes together have all.
    """

    def read(number: int) -> Original | None:
        sample = protocol.read(source, number)
        return None if sample is None else Original(number, sample, *cut(sample.image))

    numbers = [n for n in range(len(source)) if n % share.count in share.blocks]
    lost = 0
    with ThreadPoolExecutor(threads or cores.usable(), thread_name_prefix="m3i-data") as pool:
        for one in ahead(pool, read, numbers):
            if one is None:
                lost += 1
            else:
                yield one
    if lost:
        LOG.warning("left out %d of %d records that cannot be read", lost, len(numbers))
