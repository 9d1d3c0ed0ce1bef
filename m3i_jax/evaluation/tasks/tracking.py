"""Objects of videos: how well the one that is shown first is followed."""

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.views.track_crops import TrackCrops
from m3i_jax.evaluation.dense import judged as heads
from m3i_jax.evaluation.dense.judged import OWN
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.progress import counted
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.evaluation.tracking.followed import Search, followed
from m3i_jax.metrics import tracking as metrics

NAMES = ("size", "template", "search_area", "template_area")


def tracking() -> Task:
    """GOT-10k's average overlap and LaSOT's success, by the head that a run has trained.

    From its box in the first frame that shows it, the object is searched around where it was
    found last. Beside it what a box has that stays where it was.
    """

    def measure(evaluation: Evaluation) -> Measured:
        source = evaluation.source("test")
        videos = getattr(source, "source", source)
        predictor = heads.own(evaluation.model, "objects")
        if predictor is None:
            raise NotMeasurable(
                f"{evaluation.model.name} has no head that follows an object: measure a run of the "
                "objective swin_track"
            )
        if not getattr(videos, "videos", None):
            raise ConfigError(f"'{source.name}' has no videos, which tracking is measured on")
        block = evaluation.model.config.crops
        crops = TrackCrops(size=predictor.size[0], **{k: block[k] for k in NAMES[1:] if k in block})
        search = Search(**{name: getattr(crops, name) for name in NAMES})
        total = sum(len(video.seen) for video in videos.videos)
        seen = lambda rows: counted(rows, "tracking of test: frame", total=total)  # noqa: E731
        tracks = followed(predictor, videos, search=search, seen=seen)
        still = [
            track._replace(found=np.tile(track.found[:1], (len(track.found), 1)))
            for track in tracks
        ]
        numbers = metrics.got10k(tracks)._asdict() | metrics.lasot(tracks)._asdict()
        del numbers["curve"]
        numbers["constant"] = metrics.got10k(still).ao
        protocol = {"head": OWN, **search._asdict()}
        return Measured(numbers, protocol, {"test": len(tracks)}, dict.fromkeys(numbers))

    return Task("tracking", "tracking", "ao", "share", {}, measure)
