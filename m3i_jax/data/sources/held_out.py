"""A part of another source's training split to choose on: its test split is never read."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import NoSplit, Source
from m3i_jax.data.sources.subset import mixed, places
from m3i_jax.ranges import HeldOut


def usual(count: int) -> float:
    """The share of so many training records that is held out where nobody says one.

    500 records, whose top-1 is known to 4 points either way; no more than a fifth of a small set,
    and a fiftieth of a large one.
    """
    return round(min(0.2, max(0.02, 500 / max(count, 1))), 3)


def held_out(
    split: str,
    *,
    of: dict[str, Any],
    share: HeldOut = 0.1,
    classes: Sequence[str] | None = None,
) -> Source:
    """The training split of another source without a part of it, which is the test split.

    The part is spread evenly over the records, so it is always the same.

    Args:
      split: "train" or "test".
      of: block `{name, **arguments}` of the other source.
      share: of its training records that are held out.
      classes: of the training split.

    Raises:
      NoSplit: another split.
      ConfigError: `of` describes no source, or a part is without a record.
    """
    if split not in ("train", "test"):
        raise NoSplit(f"held_out has the splits train and test, not '{split}'")
    if not isinstance(of, Mapping) or "name" not in of:
        raise ConfigError("held_out: 'of' is the block of another source, with its name")
    from m3i_jax.data import sources  # which know this one

    whole = sources.source(of, split="train", classes=classes)
    count = round(share * len(whole))
    if not 0 < count < len(whole):
        raise ConfigError(
            f"held_out: a share of {share:g} of {len(whole)} records leaves none to train or to "
            "choose on"
        )
    held = places(len(whole), count)
    chosen = held if split == "test" else np.setdiff1d(np.arange(len(whole)), held)
    return mixed(whole, chosen)
