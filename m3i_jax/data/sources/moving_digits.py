"""Digits that move over crops of photographs, as short videos in which one of them is followed.

Frames are scenes of several digits (`scene_objects`), each of which moves straight on, is mirrored
at the edges and turns a little; the larger hide the smaller. Handwriting and photographs of the two
splits are apart, as those of scenes are.
"""

import functools
import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.digit_scenes import Height, digit_scenes
from m3i_jax.data.sources.scene_objects import MOST, ObjectScenes
from m3i_jax.data.sources.video_pairs import Frames, Video, VideoPairs
from m3i_jax.ranges import Ascending, Count, Range, Seed
from m3i_jax.types import Array

VERSION = 1  # part of the fingerprint: count up whenever a pixel of any video would change
SEEN = 0.1  # share of a digit's pixels: with less it is not seen
TURN = 4.0  # degrees a frame, at most
Speed = Annotated[float, Range(0, 0.5, why="a share of the frame's side, for each frame")]


def moving_digits(
    split: str,
    *,
    classes: Sequence[str] | None = None,
    size: Annotated[int, Range(32, 256)] = 64,
    videos: Count | None = None,
    frames: Annotated[int, Range(2, 10_000)] = 24,
    others: Annotated[int, Range(1, MOST - 1)] = 2,
    digit: Annotated[tuple[Height, Height], Ascending()] = (0.25, 0.4),
    speed: Annotated[tuple[Speed, Speed], Ascending()] = (0.01, 0.05),
    length: Count | None = None,
    gap: Count = 100,
    seed: Seed = 0,
) -> VideoPairs:
    """Pairs of frames of made-up videos, see `video_pairs`; boxes are tight around the digit.

    A box is around all of the digit, also what others hide of it; with less than a tenth of its
    pixels seen it is not seen.

    Args:
      split: "train" or "test".
      classes: of the training split; there are none.
      size: height and width of a frame in pixels.
      videos: how many; 200 for training and 40 for testing when None.
      frames: of each.
      others: digits beside the one that is followed, at most; one at least.
      digit: smallest and largest height of a digit, as a share of the frame.
      speed: least and most of what a digit moves in a frame, as a share of its side.
      length: number of pairs; None = as many as frames that show the digit.
      gap: how many frames a template is away from the frame that is searched, at most.
      seed: another seed, other videos and pairs.

    Raises:
      ConfigError: an unknown split, a value out of range, or a missing package.
    """
    count = {"train": 200}.get(split, 40) if videos is None else videos
    if not 0 <= speed[0] <= speed[1]:
        raise ConfigError(f"moving_digits: speed is {speed}, expected 0 <= least <= most")
    how = dict(size=size, length=count, seed=seed, digit=digit, objects=others + 1)
    scenes = digit_scenes(split, **how)
    moving = _Moving(scenes, frames, tuple(speed))
    said = VERSION, scenes.fingerprint(), frames, tuple(speed)
    return VideoPairs(
        "moving_digits",
        [moving.video(number) for number in range(count)],
        Frames(
            lambda video, frame, decode: moving.frame(video, frame),
            lambda video, frame: f"moving_digits/{split}/{video}/{frame}",
            settings=said,
        ),
        length=length,
        gap=gap,
        seed=seed,
    )


class _Moving:
    """How the digits of scenes move."""

    def __init__(self, scenes: ObjectScenes, frames: int, speed: tuple[float, float]):
        self.scenes, self.frames, self.speed = scenes, frames, speed
        self._routes = functools.lru_cache(maxsize=64)(self._route)

    def digits(self, video: int, frame: int) -> tuple[Any, ...]:
        """Where the digits are in a frame, the farthest first, each a `digit_scenes.Scene`."""
        digits, pace, _ = self._routes(video)
        side = self.scenes.recipe.size
        return tuple(
            one._replace(
                top=_mirrored(one.top + frame * down, side - one.tall),
                left=_mirrored(one.left + frame * right, side - one.tall),
                angle=one.angle + frame * turn,
            )
            for one, (down, right, turn) in zip(digits, pace, strict=True)
        )

    def frame(self, video: int, frame: int) -> Array:
        """(size, size, 3) uint8."""
        return self.scenes.composed(self.digits(video, frame))

    def video(self, number: int) -> Video:
        """Boxes of the digit that is followed, and whether it is seen."""
        followed = self._routes(number)[2]
        boxes, shares = [], []
        for frame in range(self.frames):
            digits = self.digits(number, frame)
            own = self.scenes.pixels(digits[followed])
            rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
            boxes.append([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
            shares.append(self.scenes.seen(digits)[1][followed])
        return Video(f"{number}", np.array(boxes, np.float32), np.array(shares) >= SEEN)

    def _route(self, video: int) -> tuple[tuple[Any, ...], Array, int]:
        """The digits of the first frame, how they move in each, and which is followed."""
        r, digits = self.scenes.recipe, self.scenes.layout(video)
        rng = np.random.default_rng((r.seed, r.split == "test", video, VERSION, 1))
        way = rng.uniform(0, 2 * math.pi, len(digits))
        far = rng.uniform(*self.speed, len(digits)) * r.size
        turn = np.radians(TURN) * rng.uniform(-1, 1, len(digits))
        pace = np.stack([far * np.sin(way), far * np.cos(way), turn], axis=1)
        return digits, pace, int(rng.integers(len(digits)))


def _mirrored(place: float, limit: float) -> float:
    """Where something is that goes to and fro between 0 and a limit."""
    around = place % (2 * limit)
    return min(around, 2 * limit - around)
