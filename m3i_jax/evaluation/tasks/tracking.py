"""Objects of videos: how well the one that is shown first is followed."""

from m3i_jax.evaluation.dense import judged as heads
from m3i_jax.evaluation.dense.judged import OWN
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.progress import counted
from m3i_jax.evaluation.tasks.task import Measured, Task
from m3i_jax.evaluation.tracking.followed import Search, followed
from m3i_jax.evaluation.tracking.judged import judged, videos_of
from m3i_jax.parallel import processes


def tracking() -> Task:
    """GOT-10k's average overlap and LaSOT's success, by the head that a run has trained.

    From its box in the first frame that shows it, the object is searched around where it was
    found last. Beside it what a box has that stays where it was.
    """

    def measure(evaluation: Evaluation) -> Measured:
        predictor = heads.own(evaluation.model, "track")
        if predictor is None:
            raise NotMeasurable(
                f"{evaluation.model.name} has no head that follows an object: measure a run of the "
                "objective swin_track"
            )
        videos = videos_of(evaluation.source("test"))
        search = Search.of(evaluation.model.config.crops, predictor.size[0])
        share = processes.own_share()
        total = sum(len(video.seen) for video in videos.videos) // share.count
        seen = lambda rows: counted(rows, "tracking of test: frame", total=total)  # noqa: E731
        tracks = followed(predictor, videos, search=search, seen=seen, share=share)
        numbers = judged(tracks)
        protocol = {"head": OWN, **search._asdict()}
        return Measured(numbers, protocol, {"test": len(tracks)}, dict.fromkeys(numbers))

    return Task("tracking", "tracking", "ao", "share", {}, measure)
