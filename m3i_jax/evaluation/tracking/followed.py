"""Where the object of each video is, frame by frame, from its box in the first.

A template is cut around that box once; in each frame the region around the last box is searched,
and the box of the surest cell is the next one. No scales are punished, no template is changed.
Lin et al. 2022 (SwinTrack), https://arxiv.org/abs/2112.00995, in their code.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from m3i_jax import normalize
from m3i_jax.data.sources.video_pairs import VideoPairs
from m3i_jax.data.views.track_crops import TrackCrops, region, square
from m3i_jax.detection import tracking
from m3i_jax.evaluation.dense.predictor import Predictor
from m3i_jax.metrics.tracking import Track
from m3i_jax.parallel import processes, sharding
from m3i_jax.types import Array, Features, Share

NAMES = ("template", "search_area", "template_area")  # of crops and of `Search`


class Search(NamedTuple):
    """How large the views are, see `data.views.track_crops`.

    size, template: their sides.   search_area, template_area: in boxes.
    window: of the prior of where the object was, see `detection.tracking.surest_box`.
    """

    size: int = 224
    template: int = 112
    search_area: float = 4.0
    template_area: float = 2.0
    window: float = tracking.WINDOW

    @classmethod
    def of(cls, crops: Mapping[str, Any], size: int) -> "Search":
        """As the crops of a run show a tracker its views.

        crops: config.crops.   size: side of the encoder's images.
        """
        own = TrackCrops(size=size, **{name: crops[name] for name in NAMES if name in crops})
        return cls(size, *(getattr(own, name) for name in NAMES))


class Programs(NamedTuple):
    """What a tracker is asked.

    template: (parameters, views) -> their maps.
    search: (parameters, views, maps of templates) -> the box of the surest cell of each region, in
      pixels of it, and how sure that is.
    """

    template: Callable[[Any, Any], Any]
    search: Callable[[Any, Any, Any], tuple[Any, Any]]


def followed(
    predictor: Predictor,
    source: VideoPairs,
    *,
    search: Search = Search(),
    numbers: Sequence[int] | None = None,
    batch: int = 8,
    seen: Callable[[Iterator[int]], Iterator[int]] = lambda frames: frames,
    programs: Programs | None = None,
    share: Share = Share(),
) -> list[Track]:
    """What is there and what is found, of videos.

    Args:
      search: how large the views are.
      numbers: which videos; None = all.
      batch: videos that are followed at once.
      seen: goes round the numbers of all frames, to say how far it is.
      programs: `compiled` before; None compiles them.
      share: every which videos this process follows; those of all are returned.
    """
    programs, tracks = programs or compiled(predictor, search), []
    chosen = range(len(source.videos)) if numbers is None else numbers
    own = [at for at in range(len(chosen)) if at % share.count in share.blocks]
    count = seen(iter(range(sum(len(source.videos[chosen[at]].seen) for at in own))))
    for start in range(0, len(own), batch):
        some = own[start : start + batch]
        videos = [chosen[at] for at in some]
        found = _group(predictor.params, programs, source, videos, search, batch, count)
        tracks += zip(some, found, strict=True)
    for _ in count:  # to its end, which says so
        pass
    return processes.by_number(tracks, share)


def compiled(
    predictor: Predictor, search: Search, *, mesh: sharding.Mesh | None = None
) -> Programs:
    """The two programs, which compile once each.

    mesh: whose devices share the views of a batch, all of which every process gives and gets; None
      = where the parameters are.
    """

    def seen(params, images):
        if mesh is not None:
            images = jax.lax.with_sharding_constraint(images, sharding.batch_sharding(mesh))
        return predictor.seen(params, normalize.levels(images))

    def template(params, images):
        return seen(params, images).maps[0]

    def find(params, images, templates):
        features = seen(params, images)
        both = Features(maps=(features.maps[0], templates))
        said = predictor.network.decode(
            params, predictor.decoder, both, size=(search.size, search.size)
        )
        return tracking.surest_box(said, both.maps[0].shape[1:3], window=search.window)[:2]

    whole = mesh and sharding.replicated(mesh)
    return Programs(*(jax.jit(program, out_shardings=whole) for program in (template, find)))


def _group(
    params: Any,
    programs: Programs,
    source: VideoPairs,
    numbers: Sequence[int],
    search: Search,
    batch: int,
    count: Iterator[int],
) -> list[Track]:
    """Some videos side by side; one that has ended is shown on, so that nothing compiles."""
    videos = [source.videos[n] for n in numbers]
    first = [int(video.shown[0]) for video in videos]
    images = [source.frame(n, at) for n, at in zip(numbers, first, strict=True)]
    sizes = [image.shape[:2] for image in images]
    boxes = [np.float64(video.corners[at]) for video, at in zip(videos, first, strict=True)]
    views = [_template(image, box, search) for image, box in zip(images, boxes, strict=True)]
    templates = programs.template(params, _filled(views, batch))
    # Up to the frame that shows it first, the object is where it is then.
    found = [np.tile(box, (len(video.seen), 1)) for video, box in zip(videos, boxes, strict=True)]
    for at in range(max(len(video.seen) for video in videos)):
        there = [n for n, video in enumerate(videos) if first[n] < at < len(video.seen)]
        regions = {}
        for n in there:
            image = source.frame(numbers[n], at)
            box = _region(boxes[n], image.shape[1], search)
            regions[n] = box, square(image, box, search.size)
        if there:
            blank = np.zeros((search.size, search.size, 3), np.uint8)
            shown = [regions[n][1] if n in regions else blank for n in range(len(videos))]
            corners, _ = jax.device_get(programs.search(params, _filled(shown, batch), templates))
            for n in there:
                boxes[n] = _moved(corners[n], regions[n][0], boxes[n], sizes[n], search.size)
                found[n][at] = boxes[n]
        for video in videos:
            if at < len(video.seen):
                next(count, None)
    rows = zip(videos, found, sizes, first, strict=True)
    return [_track(video, boxes, size, at) for video, boxes, size, at in rows]


def _track(video, found: Array, size: tuple[int, int], first: int) -> Track:
    """From the frame on that the object is given in."""
    part = slice(first, None)
    return Track(np.float64(video.corners[part]), found[part], video.seen[part], size)


def _template(image: Array, corners: Array, search: Search) -> Array:
    box = region(_extent(corners), image.shape[1], area=search.template_area)
    return square(image, box, search.template)


def _region(corners: Array, frame: int, search: Search) -> Array:
    return region(_extent(corners), frame, area=search.search_area)


def _extent(corners: Array) -> Array:
    """Top, left, height and width."""
    return np.concatenate([corners[:2], corners[2:] - corners[:2]])


def _moved(
    corners: Array, box: Array, before: Array, size: tuple[int, int], side: int
) -> Float[np.ndarray, "4"]:
    """A box of a region in pixels of the frame, cut off there; the last one where none is left."""
    gain, low = np.tile(np.float64(box[2:4]) / side, 2), np.tile(np.float64(box[:2]), 2)
    found = (low + np.float64(corners) * gain).clip(0, [*size, *size])
    sound = np.isfinite(found).all() and (found[2:] - found[:2] > 0).all()
    return found if sound else before


def _filled(views: Sequence[Array], batch: int) -> Array:
    """A batch of so many, the first again for those that lack."""
    return np.stack([*views, *[views[0]] * (batch - len(views))])
