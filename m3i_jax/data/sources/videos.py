"""Videos in which an object is followed, as pairs of frames: GOT-10k, LaSOT, others like these."""

from collections.abc import Sequence
from pathlib import Path

from m3i_jax.data.sources import urls, video_files
from m3i_jax.data.sources.annotated_files import content
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.video_pairs import Frames, VideoPairs
from m3i_jax.ranges import Count, Seed
from m3i_jax.texts import Filled


def videos(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    length: Count | None = None,
    gap: Count = 100,
    seed: Seed = 0,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> VideoPairs:
    """Pairs of frames of videos of one object each, in folders of frames (`video_files`).

    GOT-10k (`train/list.txt`, `train/GOT-10k_Train_000001/`) and LaSOT (`training_set.txt`,
    `airplane/airplane-1/img/`). Frames in which the object is absent, hidden or out of view are in
    no pair. Videos whose files do not agree are left out, and named.

    Args:
      root: the folder.
      split: "train" or "test", of which val stands in for the latter where test has no boxes.
      classes: of the training split; there are none.
      length: number of pairs; None = as many as there are frames that show an object.
      gap: how many frames a template is away from the frame that is searched, at most.
      seed: another seed, other pairs.
      max_pixels: larger frames are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: there is no video.
    """
    place = Path(urls.local(root)).expanduser()
    there = video_files.found(place, split or "train")
    frames = Frames(
        lambda video, frame, own: own(content(there.frames[video][frame])),
        lambda video, frame: str(there.frames[video][frame]),
        lambda: [file for files in there.frames for file in files],
        place,
    )
    return VideoPairs(
        "videos",
        there.videos,
        frames,
        length=length,
        gap=gap,
        seed=seed,
        decode=decoder(decode, orientation=False, max_pixels=max_pixels),
        warnings=there.warnings,
    )
