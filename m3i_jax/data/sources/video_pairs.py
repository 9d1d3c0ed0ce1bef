"""Pairs of frames of videos in which one object is followed: a template, and where to look for it.

A record is a `Sample` of the frame to be searched, whose `other` is the one with the template. Both
have a box.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import contents, gone
from m3i_jax.data.sources.annotations import Annotations, checked
from m3i_jax.data.sources.decoding import Decoder, unreadable
from m3i_jax.data.sources.protocol import Account, Sample, listed
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.types import Array


class Video(NamedTuple):
    """F frames of one object.

    corners: (F, 4) float32 top, left, bottom, right in pixels; NaN = nobody says.
    seen: (F,) bool, whether any of it is seen.
    """

    name: str
    corners: Array
    seen: Array

    @property
    def shown(self) -> Array:
        """The numbers of the frames of which a pair can be made: there is a box of what is seen."""
        extent = self.corners[:, 2:] - self.corners[:, :2]
        return np.flatnonzero(self.seen & (extent > 0).all(1) & np.isfinite(self.corners).all(1))


class Frames(NamedTuple):
    """Where the frames of videos come from.

    read: (video, frame, decoder) -> (H, W, 3) uint8.   where: (video, frame) -> its name.
    files: that frames and boxes are read from, for digests.   folder: around them; None = no files.
    settings: what else decides what is read.
    """

    read: Callable[[int, int, Decoder | None], Array]
    where: Callable[[int, int], str]
    files: Callable[[], Sequence[Path]] = tuple
    folder: Path | None = None
    settings: object = None


class VideoPairs:
    """A source of pairs; every video has as many, whatever its length.

    videos: all of them, also for whoever follows an object through one; `frame` reads it.
    """

    classes: tuple[str, ...] = ()
    object_names: tuple[str, ...] = ("object",)

    def __init__(
        self,
        name: str,
        videos: Sequence[Video],
        frames: Frames,
        *,
        length: int | None = None,
        gap: int = 100,
        seed: int = 0,
        decode: Decoder | None = None,
        warnings: tuple[str, ...] = (),
    ):
        """Of videos with a frame that shows the object.

        Args:
          length: number of records; None = as many as such frames.
          gap: how many frames a template is away, at most, before or behind.
        """
        self.name, self.videos, self._frames = name, tuple(videos), frames
        if bare := [video.name for video in videos if not len(video.shown)]:
            raise ConfigError(f"no frame shows the object of {listed(bare)}")
        if not videos:
            raise ConfigError(f"'{name}' has no video")
        total = sum(len(video.shown) for video in videos)
        self._length, self._gap, self._seed = length or total, gap, seed
        self._decode, self.on_disk = decode, frames.folder is not None
        note = f"{len(videos)} videos, whose objects are seen in {total} frames"
        self.account = Account(0, notes=(note,), warnings=warnings)

    def __len__(self) -> int:
        """Number of records."""
        return self._length

    def __getitem__(self, index: int) -> Sample:
        """Reads the two frames of a pair.

        Raises:
          ValueError: naming the frame and what is wrong with it.
          Gone: it is the folder that is not there any more.
        """
        video, template, search = self.drawn(index)
        return self._sample(video, search)._replace(other=self._sample(video, template))

    def drawn(self, index: int) -> tuple[int, int, int]:
        """Video, frame of the template and frame to be searched, of a record."""
        if not 0 <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        number = index % len(self.videos)
        rng, shown = np.random.default_rng((self._seed, index)), self.videos[number].shown
        search = int(rng.choice(shown))
        near = shown[np.abs(shown - search) <= self._gap]
        return number, int(rng.choice(near)), search

    def frame(self, video: int, frame: int) -> Array:
        """(H, W, 3) uint8; see `__getitem__`."""
        try:
            return self._frames.read(video, frame, self._decode)
        except MemoryError:
            raise
        except Exception as error:  # whatever a disk or a decoder raises
            if self._frames.folder is not None:
                gone.require(self._frames.folder)
            raise unreadable(self._frames.where(video, frame), error) from error

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "VideoPairs":
        """The same with another decoder, made of its own, where frames are files."""
        if self._decode is None:
            return self
        twin = copy.copy(self)
        twin._decode = change(self._decode)
        return twin

    def captions(self) -> Iterator[str]:
        """There are none."""
        return ("" for _ in range(len(self)))

    def fingerprint(self) -> str:
        """Digest of all boxes, of the files and of how pairs are drawn."""
        said = self.name, self._frames.settings, self._length, self._gap, self._seed
        digest = hashlib.sha256(repr(said).encode())
        for video in self.videos:
            digest.update(repr((video.name, len(video.seen))).encode())
            digest.update(video.corners.tobytes() + video.seen.tobytes())
        return digest.hexdigest()[:16]

    def contents(self) -> dict[str, str]:
        """Digests of what is in the files, see `contents.looked_at`."""
        return contents.looked_at([*self._frames.files()])

    def where(self, index: int) -> str:
        """The frame to be searched, and that of the template."""
        video, template, search = self.drawn(index)
        return f"{self._frames.where(video, search)}, template {template}"

    def _sample(self, video: int, frame: int) -> Sample:
        image = self.frame(video, frame)
        low, high = self.videos[video].corners[frame].reshape(2, 2)
        said = checked(Annotations(box=np.concatenate([low, high - low])), *image.shape[:2])
        # As the one object of the frame, too, which a tracker learns to find.
        area = np.float32([(high - low).prod()])
        corners = self.videos[video].corners[frame][None].astype(np.float32)
        objects = SampleObjects(corners, np.zeros(1, np.int32), np.zeros(1, bool), area)
        return Sample(image, box=said.box, objects=objects)
