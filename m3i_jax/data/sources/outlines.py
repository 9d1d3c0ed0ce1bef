"""Where an object is within its box: polygons, or the runs of pixels that COCO's files have (RLE).

Places are rows and columns in pixels from the upper left corner, so the middle of the first pixel
is at ½. https://cocodataset.org/#format-data
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.data.sources.decoding import MAX_PIXELS
from m3i_jax.types import Array

ZERO = 48  # the letter that stands for 0
SAMPLES = 4  # points along each side of a cell of a mask


class Runs(NamedTuple):
    """Pixels of an image of `size`, (H, W), column by column from the upper left.

    counts: (R,) int64: so many are not the object's, so many are, and so on; H W in all.
    """

    size: tuple[int, int]
    counts: Array


Polygons = tuple[Array, ...]  # each (V, 2) float32 rows and columns, V >= 3; the object is in any
Outline = Polygons | Runs


def encoded(pixels: Array) -> Runs:
    """The runs of (H, W) pixels, of which those that are not 0 are the object's."""
    flat = np.asarray(pixels, bool).T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    starts = [0] * (1 + bool(flat.size and flat[0]))  # the first run is never the object's
    edges = np.concatenate([starts, ends, [flat.size]]).astype(np.int64)
    return Runs((pixels.shape[0], pixels.shape[1]), np.diff(edges))


def decoded(runs: Runs) -> Array:
    """(H, W) bool."""
    flat = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
    return flat.reshape(runs.size[::-1]).T


def of_coco(said: Any) -> Outline:
    """The outline that a `segmentation` of COCO's files says: polygons, or runs, also as letters.

    Raises:
      ValueError: it is neither.
    """
    if isinstance(said, dict):
        return _runs(said.get("size"), said.get("counts"))
    if not isinstance(said, list) or not said:
        raise ValueError("it is neither polygons nor runs")
    return tuple(map(_polygon, said))


def to_coco(outline: Outline) -> list | dict[str, Any]:
    """The `segmentation` that COCO's files have for an outline."""
    if isinstance(outline, Runs):
        return {"size": [*outline.size], "counts": text(outline)}
    return [polygon[:, ::-1].reshape(-1).tolist() for polygon in outline]


def text(runs: Runs) -> str:
    """The letters that COCO's results have for `counts`.

    From the fourth run on the difference to the last but one is written; numbers are in groups of
    five bits, the lowest first, each with a sixth that says whether more follow.
    """
    counts = np.asarray(runs.counts, np.int64)
    steps = counts.copy()
    steps[3:] -= counts[1:-2]
    letters = bytearray()
    for step in steps.tolist():
        more = True
        while more:
            bits, step = step & 31, step >> 5
            more = step != (-1 if bits & 16 else 0)
            letters.append(ZERO + bits + 32 * more)
    return letters.decode("ascii")


def mask(
    outline: Outline, corners: Array, size: tuple[int, int], *, samples: int = SAMPLES
) -> Array:
    """(h, w) uint8, the object in the frame of some corners: 1 where at least half of a cell is it.

    Args:
      outline: in pixels of an image.
      corners: (4,) top, left, bottom, right, in pixels of the image, beyond which nothing is.
      size: how many cells the frame has.
      samples: points along each side of a cell that are looked at.
    """
    fine = size[0] * samples, size[1] * samples
    covered = _covered(outline, np.asarray(corners, np.float64), fine)
    count = covered.reshape(size[0], samples, size[1], samples).sum((1, 3))
    return (2 * count >= samples * samples).astype(np.uint8)


def bounds(outline: Outline, corners: Array) -> Array | None:
    """(4,) float64 top, left, bottom, right of what of an object lies in a frame; None = nothing.

    Args: as of `mask`.
    """
    frame = np.asarray(corners, np.float64)
    if isinstance(outline, Runs):
        return _pixels(decoded(outline), frame)
    ends = [place for polygon in outline for place in _ends(np.float64(polygon), frame)]
    if not ends:
        return None
    found = np.concatenate([np.min(ends, axis=0), np.max(ends, axis=0)])
    return found if (found[2:] > found[:2]).all() else None


def area(outline: Outline) -> float:
    """Pixels²; of polygons the sum of each, as if they did not overlap."""
    if isinstance(outline, Runs):
        return float(outline.counts[1::2].sum())
    return sum(_area(np.float64(polygon)) for polygon in outline)


def moved(
    outline: Outline, places: Callable[[Array], Array], plane: Callable[[Array], Array]
) -> Outline:
    """The outline in an image that was turned or resized.

    places: of (V, 2) rows and columns those in the new image.   plane: of (H, W) pixels the new.
    """
    if isinstance(outline, Runs):
        return encoded(plane(decoded(outline)))
    return tuple(places(polygon).astype(np.float32) for polygon in outline)


def fits(outline: Any, size: tuple[int, int]) -> bool:
    """Whether it is the outline of an object of an image of this size."""
    if isinstance(outline, Runs):
        counts = outline.counts
        whole = counts.ndim == 1 and counts.dtype == np.int64 and bool((counts >= 0).all())
        return whole and tuple(outline.size) == size and counts.sum() == size[0] * size[1]
    if not isinstance(outline, tuple) or not outline:
        return False
    return all(
        points.ndim == 2
        and points.shape[0] >= 3
        and points.shape[1] == 2
        and points.dtype == np.float32
        and bool(np.isfinite(points).all())
        for points in outline
    )


def _runs(size: Any, counts: Any) -> Runs:
    match size:
        case [int(height), int(width)] if min(size) > 0 and height * width <= MAX_PIXELS:
            pass
        case _:
            raise ValueError(f"its runs are of an image of {size}")
    numbers = _numbers(counts) if isinstance(counts, str) else counts
    if not isinstance(numbers, Sequence) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("its runs are no numbers of pixels")
    if sum(numbers) != height * width:
        raise ValueError(f"its runs have {sum(numbers)} pixels, the image {height} x {width}")
    return Runs((height, width), np.array(numbers, np.int64))


def _numbers(letters: str) -> list[int]:
    """The counts that letters stand for, see `text`."""
    counts, number, shift = [], 0, 0
    for letter in letters:
        bits = ord(letter) - ZERO
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError("its runs have a letter that stands for no number")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        number -= (1 << shift) * bool(bits & 16)
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("its runs end within a number")
    return counts


def _polygon(said: Any) -> Array:
    """Of x, y, x, y, … as COCO has them."""
    try:
        with np.errstate(over="ignore"):  # infinite ones are refused
            points = np.array(said)
            if points.size and points.dtype.kind not in "iuf":  # text that spells numbers, too
                raise TypeError(points.dtype)
            points = points.astype(np.float32)
    except (ValueError, TypeError) as error:
        raise ValueError("a polygon has other things than numbers") from error
    if points.ndim != 1 or points.size % 2 or points.size < 6 or not np.isfinite(points).all():
        raise ValueError("a polygon has no three places")
    return points.reshape(-1, 2)[:, ::-1]


def _covered(outline: Outline, frame: Array, size: tuple[int, int]) -> Array:
    """(h, w) bool: whether the middles of cells of a frame are in the object."""
    if not isinstance(outline, Runs):
        inside = np.zeros(size, bool)
        for polygon in outline:
            inside |= _filled(_in_cells(np.float64(polygon), frame, size) - 0.5, size)
        return inside
    whole = decoded(outline)
    rows, columns = (
        np.floor(frame[a] + (np.arange(n) + 0.5) * (frame[a + 2] - frame[a]) / n).astype(np.int64)
        for a, n in enumerate(size)
    )
    there = [(at >= 0) & (at < n) for at, n in zip((rows, columns), whole.shape, strict=True)]
    rows, columns = (at.clip(0, n - 1) for at, n in zip((rows, columns), whole.shape, strict=True))
    return whole[rows[:, None], columns] & there[0][:, None] & there[1]


def _in_cells(points: Array, frame: Array, size: tuple[int, int]) -> Array:
    return (points - frame[:2]) * size / (frame[2:] - frame[:2])


def _filled(points: Array, size: tuple[int, int]) -> Array:
    """(h, w) bool: which whole numbers of rows and columns lie within a polygon, by parity.

    In a row everything right of where an edge crosses it changes sides. An edge has its upper end
    and not its lower, so that a corner between two rows counts once.
    """
    first, last = points, np.roll(points, -1, axis=0)
    upper, lower = (end(first[:, 0], last[:, 0]) for end in (np.minimum, np.maximum))
    begin = np.ceil(upper).clip(0, size[0]).astype(np.int64)
    count = np.ceil(lower).clip(0, size[0]).astype(np.int64) - begin
    edge = np.repeat(np.arange(len(points)), count)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + begin[edge]
    (y0, x0), (y1, x1) = first[edge].T, last[edge].T
    across = x0 + (rows - y0) / (y1 - y0) * (x1 - x0)
    columns = np.ceil(across).clip(0, size[1]).astype(np.int64)
    crossed = np.bincount(rows * (size[1] + 1) + columns, minlength=size[0] * (size[1] + 1))
    return np.cumsum(crossed.reshape(size[0], -1)[:, :-1], axis=1) % 2 == 1


def _pixels(whole: Array, frame: Array) -> Array | None:
    """`bounds` of (H, W) pixels."""
    first = np.floor(frame[:2]).clip(0, whole.shape).astype(np.int64)
    last = np.ceil(frame[2:]).clip(0, whole.shape).astype(np.int64)
    part = whole[first[0] : last[0], first[1] : last[1]]
    if not part.any():
        return None
    sides = [np.flatnonzero(part.any(1 - axis)) for axis in (0, 1)]
    low = first + [side[0] for side in sides]
    high = first + [side[-1] + 1 for side in sides]
    return np.concatenate([np.maximum(low, frame[:2]), np.minimum(high, frame[2:])])


def _ends(points: Array, frame: Array) -> list[Array]:
    """Places that what of a polygon lies in a frame reaches to: its corners, where its edges meet
    those of the frame, and the corners of the frame that it covers."""
    low, high = frame[:2], frame[2:]
    within = ((points >= low) & (points <= high)).all(1)
    places = [*points[within]]
    first, last = points, np.roll(points, -1, axis=0)
    for axis, side in ((0, low[0]), (0, high[0]), (1, low[1]), (1, high[1])):
        crossing = (first[:, axis] < side) != (last[:, axis] < side)
        a, b = first[crossing], last[crossing]
        met = a + ((side - a[:, axis]) / (b[:, axis] - a[:, axis]))[:, None] * (b - a)
        met[:, axis] = side
        places += [*met[((met >= low) & (met <= high)).all(1)]]
    inside = _filled(_in_cells(points, frame, (1, 1)), (2, 2))
    return places + [np.where([row, column], high, low) for row, column in np.argwhere(inside)]


def _area(points: Array) -> float:
    """Gauss's formula, of a polygon whose edges do not cross."""
    (y, x), (below, beside) = points.T, np.roll(points, -1, axis=0).T
    return abs(float((x * below - beside * y).sum())) / 2
