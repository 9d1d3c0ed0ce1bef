"""How well objects were followed, and what a box has that stays where it was."""

from collections.abc import Sequence

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.video_pairs import VideoPairs
from m3i_jax.metrics import tracking as metrics
from m3i_jax.metrics.tracking import Track


def judged(tracks: Sequence[Track]) -> dict[str, float]:
    """GOT-10k's and LaSOT's numbers, and "constant", the average overlap of the first box."""
    still = [
        track._replace(found=np.tile(track.found[:1], (len(track.found), 1))) for track in tracks
    ]
    numbers = metrics.got10k(tracks)._asdict() | metrics.lasot(tracks)._asdict()
    del numbers["curve"]
    return numbers | {"constant": metrics.got10k(still).ao}


def videos_of(source: Source) -> VideoPairs:
    """The videos of a source, all frames of which are read.

    Raises:
      ConfigError: it has none.
    """
    videos = getattr(source, "source", source)
    if not getattr(videos, "videos", None):
        raise ConfigError(f"'{source.name}' has no videos, which tracking is measured on")
    return videos
