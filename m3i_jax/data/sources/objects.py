"""Images with boxes and masks of objects in COCO's JSON: COCO, LVIS, and exports of that form."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import coco_json, object_files, urls
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.protocol import Account
from m3i_jax.ranges import Count, Share
from m3i_jax.texts import Filled

OTHERS = {"captions", "person", "keypoints", "stuff", "panoptic", "info"}  # of COCO's other files


def objects(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    annotations: Filled | None = None,
    empty: bool = False,
    repeat_threshold: Share = 0.0,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> AnnotatedFiles:
    """Images with all objects that a JSON file of COCO's form says are in them.

    COCO (`annotations/instances_train2017.json`, `train2017/`), LVIS (`lvis_v1_train.json`, whose
    images begin in the folder around `train2017/`), and exports such as
    `train/_annotations.coco.json` beside its images. Left out, and counted, are objects without a
    box in their image and with a broken outline.

    Args:
      root: the folder.
      split: "train" or "test", of which val stands in for the latter where there is no test.
      classes: of the training split; images have no labels.
      annotations: the JSON file, from the folder on, with {split} in it for train or test; None =
        the only one whose name, or the name of whose folder, says the split.
      empty: whether training has images without an object, or with crowds alone, too. The test
        split has all images.
      repeat_threshold: an epoch of training shows an image √(threshold / f) times where its rarest
        category is in a share f of all images that is less; LVIS: 0.001. 0 = once.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: files are missing, or are none of COCO's.
    """
    place, split = Path(urls.local(root)).expanduser(), split or "train"
    file = coco_json.found(place, split, annotations, others=OTHERS)
    said = object_files.read(file)
    shown = _shown(said, empty=empty or split == "test")
    if not len(shown):
        raise ConfigError(f"'{file}' has no image with an object{_left(said, '; left out: ')}")
    often = None
    if repeat_threshold and split != "test":
        often = object_files.repeats(said, shown=shown, threshold=repeat_threshold)
    # As they were before there was a threshold, so that runs from then go on.
    settings = [empty, repeat_threshold] if repeat_threshold else [empty] if empty else None
    files = [said.pictures.files[n] for n in shown]
    base = coco_json.images(place, file, files[0], split)
    of = functools.partial(_of, said, shown)
    return AnnotatedFiles(
        "objects",
        Said(place, [base / name for name in files], of, [file], settings=settings),
        decode=decoder(decode, orientation=False, max_pixels=max_pixels),
        account=Account(0, notes=_notes(said, file, len(shown), often)),
        object_names=said.kinds.names,
        image_ids=said.pictures.number[shown].tolist(),
        truth=functools.partial(object_files.truth, file),
        repeats=often,
        image_counts=object_files.image_counts(said),
    )


def _shown(said: object_files.Objects, *, empty: bool) -> np.ndarray:
    """The places of the images that are records."""
    every = np.arange(len(said.pictures.files))
    return every if empty else np.unique(np.repeat(every, np.diff(said.first))[~said.crowd])


def _of(said: object_files.Objects, shown: np.ndarray, index: int) -> Callable[..., Annotations]:
    """What the file says of a record, whose image has the size that it says."""
    return functools.partial(_said, said, int(shown[index]))


def _said(said: object_files.Objects, image: int, height: int, width: int) -> Annotations:
    """What the file says of an image, which has the size that it says."""
    own = said.pictures.size[image].tolist()
    if own != [height, width]:
        raise ValueError(f"it has {height} x {width} pixels, and the annotations say {own}")
    return Annotations(objects=said.of(image))


def _notes(
    said: object_files.Objects, file: Path, shown: int, often: np.ndarray | None
) -> tuple[str, ...]:
    images, crowds = len(said.pictures.files), int(said.crowd.sum())
    notes = [f"{len(said.crowd)} objects in {shown} of {images} images of '{file}'"]
    if crowds:
        notes[0] += f", {crowds} of them crowds"
    if often is not None:
        notes.append(
            f"an epoch shows {often.sum():.0f} images in the mean: {(often > 1).sum()} of {shown} "
            f"more often than once, up to {often.max():.3g} times"
        )
    left = _left(said, f"left out of '{file}': ")
    return (*notes, left) if left else tuple(notes)


def _left(said: object_files.Objects, title: str) -> str:
    """How many objects were not taken, and why; "" where all were."""
    left = ", ".join(f"{count} {reason}" for reason, count in said.left_out.items())
    return f"{title}{left}" if left else ""
