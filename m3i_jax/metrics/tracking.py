"""How well an object is followed through videos: GOT-10k's and LaSOT's measures.

GOT-10k (Huang et al. 2018, https://arxiv.org/abs/1810.11981) as its toolkit counts, and LaSOT (Fan
et al. 2018, https://arxiv.org/abs/1809.07845) as the same toolkit does, whose numbers of thresholds
are others than those of LaSOT's own: https://github.com/got-10k/toolkit. NumPy in float64.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Real

OVERLAPS = 101  # thresholds of GOT-10k's success curve, from 0 to 1
LASOT_OVERLAPS = 21  # of LaSOT's
PIXELS = np.arange(51)  # thresholds of the error of centres
SHARES = np.linspace(0, 0.5, 51)  # and of that error as a share of the object
PRECISE = 20  # pixels, the one that is quoted


class Track(NamedTuple):
    """A video of F frames: where its object is, and where it was found.

    there, found: (F, 4) top, left, bottom, right in pixels; the first of `found` is what was given.
      A frame of which nobody says where the object is has NaN.
    seen: (F,) whether any of it is; None = in all. Frames in which nothing is do not count.
    size: height and width of the frames, which GOT-10k cuts boxes off at.
    """

    there: Float[np.ndarray, "frames 4"]
    found: Float[np.ndarray, "_frames 4"]
    seen: Bool[np.ndarray, " frames"] | None = None
    size: tuple[int, int] | None = None


class Got10kScores(NamedTuple):
    """Shares over all frames of all videos together.

    ao: average overlap.   sr50, sr75: success rates, of frames with more than .5 and .75.
    curve: (101,) of frames with more than 0, .01, …, 1.
    """

    ao: float
    sr50: float
    sr75: float
    curve: Float64[np.ndarray, " thresholds"]


class LasotScores(NamedTuple):
    """Means over videos.

    success: mean over 21 thresholds, 0, .05, …, 1, of the share of frames with more overlap.
    precision: share of frames whose centre is at most 20 pixels off.
    normalized: mean over 51 thresholds, 0, .01, …, .5, of the share of frames whose centre is no
      more off than that, in widths and heights of the object.
    """

    success: float
    precision: float
    normalized: float


def overlap(
    found: Real[np.ndarray, "frames 4"],
    there: Real[np.ndarray, "frames 4"],
    *,
    size: tuple[int, int] | None = None,
) -> Float64[np.ndarray, " frames"]:
    """Intersection over union of the boxes of each frame: (F, 4), (F, 4) corners -> (F,).

    size: of frames that boxes are cut off at first, as GOT-10k's toolkit does it: corners are moved
      into the frame, and what then leaves it at the lower right is cut; so what leaves it at the
      upper left keeps its height and width.
    """
    (low, extent), (low2, extent2) = _within(found, size), _within(there, size)
    both = np.maximum(np.minimum(low + extent, low2 + extent2) - np.maximum(low, low2), 0).prod(-1)
    union = extent.prod(-1) + extent2.prod(-1) - both
    return (both / (union + np.finfo(float).eps)).clip(0, 1)


def off_centre(
    found: Real[np.ndarray, "frames 4"],
    there: Real[np.ndarray, "frames 4"],
    *,
    normalized: bool = False,
) -> Float64[np.ndarray, " frames"]:
    """How far apart the middles of boxes are: (F, 4), (F, 4) -> (F,) pixels.

    normalized: in heights and widths of what is there, of at least a pixel each.
    """
    (low, extent), (low2, extent2) = _within(found, None), _within(there, None)
    apart = low + extent / 2 - low2 - extent2 / 2  # − ½ of both, the toolkit's, is no difference
    apart = apart / np.maximum(extent2, 1) if normalized else apart
    return np.sqrt(np.square(apart).sum(-1))


def got10k(tracks: Sequence[Track]) -> Got10kScores:
    """AO and SR of videos, each frame counting the same; the first of each does not count.

    Raises:
      ValueError: no frame counts; boxes are not finite, or of other numbers of frames.
    """
    parts = []
    for number, track in enumerate(tracks):
        counted = _counted(track, number)
        counted[:1] = False
        boxes = track.found[counted], track.there[counted]
        parts.append(overlap(*boxes, size=track.size))
    overlaps = np.concatenate([np.zeros(0), *parts])
    if not overlaps.size:
        raise ValueError("in no frame but the first of a video is an object seen")
    curve = (overlaps[:, None] > np.linspace(0, 1, OVERLAPS)).mean(0)
    rates = (float((overlaps > least).mean()) for least in (0.5, 0.75))
    return Got10kScores(float(overlaps.mean()), *rates, curve)


def lasot(tracks: Sequence[Track]) -> LasotScores:
    """Success and precision of videos, each video counting the same; the first frame counts.

    Raises:
      ValueError: as `got10k`, of each video.
    """
    rows = []
    for number, track in enumerate(tracks):
        counted = _counted(track, number)
        if not counted.any():
            raise ValueError(f"in no frame of video {number} is an object seen")
        boxes = track.found[counted], track.there[counted]
        success = overlap(*boxes)[:, None] > np.linspace(0, 1, LASOT_OVERLAPS)
        precise = off_centre(*boxes)[:, None] <= PIXELS
        shares = off_centre(*boxes, normalized=True)[:, None] <= SHARES
        rows.append([success.mean(), precise[:, PRECISE].mean(), shares.mean()])
    if not rows:
        raise ValueError("there is no video")
    return LasotScores(*np.mean(rows, axis=0).tolist())


def _within(
    corners: Real[np.ndarray, "frames 4"], size: tuple[int, int] | None
) -> tuple[Float64[np.ndarray, "frames 2"], Float64[np.ndarray, "frames 2"]]:
    """Upper left corners, and heights and widths."""
    low = np.float64(corners[:, :2])
    extent = np.float64(corners[:, 2:]) - low
    if size is None:
        return low, extent
    low = low.clip(0, size)
    return low, extent.clip(0, np.array(size) - low)


def _counted(track: Track, number: int) -> Bool[np.ndarray, " frames"]:
    """(F,) whether the object of a video is seen in a frame and somebody says where."""
    if len(track.found) != len(track.there):
        raise ValueError(
            f"video {number} has {len(track.there)} frames, and boxes were found in "
            f"{len(track.found)}"
        )
    if not np.isfinite(track.found).all():
        raise ValueError(f"a box that was found in video {number} is not finite")
    said = ~np.isnan(track.there).any(1)
    return said if track.seen is None else said & track.seen
