"""What a tracker follows: an object over the frames of a few videos."""

from typing import Annotated

import numpy as np

from m3i_jax import pictures
from m3i_jax.analysis import boxes
from m3i_jax.analysis.measure import Measure, Picture, Rows, Shown
from m3i_jax.analysis.pixelwise import SAID, TRUE
from m3i_jax.data.sources.subset import places
from m3i_jax.data.sources.video_pairs import VideoPairs
from m3i_jax.evaluation.dense import judged as heads
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.tracking.followed import Search, followed
from m3i_jax.evaluation.tracking.judged import videos_of
from m3i_jax.metrics.tracking import Track, got10k
from m3i_jax.ranges import Range

HEIGHT = 160  # pixels of a frame


def tracks(
    *, videos: Annotated[int, Range(1, 16)] = 4, frames: Annotated[int, Range(2, 32)] = 8
) -> Measure:
    """Frames of videos with the box that the head of a run follows, over the one that is there.

    Args:
      videos: spread evenly over the split.
      frames: of each, spread evenly from the one in which it is given to the last.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        predictor = heads.own(evaluation.model, "track")
        if predictor is None:
            raise NotMeasurable("it has no head that follows an object, as runs of swin_track have")
        source = videos_of(evaluation.source("test"))
        chosen = places(len(source.videos), videos)
        search = Search.of(evaluation.model.config.crops, predictor.size[0])
        found = followed(predictor, source, search=search, numbers=chosen, batch=len(chosen))
        shown = [strip(source, n, one, frames) for n, one in zip(chosen, found, strict=True)]
        values = {"overlap": float(got10k(found).ao)}
        counts = {"videos": len(found), "frames": sum(len(one.there) for one in found)}
        return Shown("pictures", values, counts=counts, pictures=shown)

    settings = {"videos": videos, "frames": frames}
    return Measure("tracks", "objects that are followed", "", settings, measure)


def strip(source: VideoPairs, number: int, track: Track, count: int) -> Picture:
    """Frames in a row: what is followed in vermilion over what is there in blue, as thick again."""
    video = source.videos[number]
    first, tiles, said = int(video.shown[0]), [], []
    last = len(track.there) - 1
    for at in np.unique(np.linspace(0, last, count).round().astype(int)):
        frame = source.frame(number, first + at)
        image = pictures.fit(frame, HEIGHT)
        for corners, colour, thick in ((track.there[at], TRUE, 4), (track.found[at], SAID, 2)):
            if np.isfinite(corners).all():
                how = dict(factor=HEIGHT / frame.shape[0], colour=colour, thick=thick)
                image = boxes.drawn(image, corners[None], **how)
        tiles.append(image)
        said.append(f"frame {first + at}")
    over = got10k([track]).ao
    caption = f"{video.name}: what is followed overlaps with what is there by {over:.2f}"
    image = pictures.grid(tiles, columns=len(tiles), captions=said, height=HEIGHT)
    return Picture(caption, image)
