"""Images with depth: lists of NYU Depth v2 and KITTI, and any two folders of images and depth.

The lists are those of https://github.com/cleinc/bts (Lee et al. 2019), an image, its depth and
perhaps a focal length on each line.
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import annotation_forms, paired_folders, places
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said, said_by
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.folder_names import ORDER
from m3i_jax.data.sources.paired_folders import Pairs
from m3i_jax.data.sources.protocol import Account, NoSplit, listed
from m3i_jax.data.sources.split_words import parted
from m3i_jax.ranges import Count, Range
from m3i_jax.texts import Filled
from m3i_jax.types import Array

DEPTHS = re.compile(r"depths?|depth_maps?|gt_depths?|groundtruth")
ABSENT = "None"  # in place of a depth in KITTI's lists
MOST = 2**26  # bytes of a list
SHORT = 2  # words of a line: image and depth; a third one is the focal length
Factor = Annotated[float, Range(1e-9, 1e6, why="a number of a file times it is the depth")]


def depth_list(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    lists: Filled | None = None,
    images: Filled = ".",
    depths: Filled = ".",
    factor: Factor = 0.001,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> AnnotatedFiles:
    """Images with depth in PNG files of two bytes a pixel: NYU, KITTI, and folders of both.

    A list says `image depth` on each line; without one `images/` and `depth/` in a folder, with
    splits in them or around them, have files of the same names. 0 is a pixel that was not measured.
    A depth that is missing leaves its image out; one of another size is a record that cannot be
    read.

    Args:
      root: the folder, or a zip file of it.
      split: "train" or "test".
      classes: of the training split; images have no labels.
      lists: the list, from the folder on, with {split} in it for train or test; None = the only
        .txt file of the folder whose name says the split.
      images, depths: folders that the paths of a list begin in.
      factor: depth of a 1 in the files: 0.001 m for NYU, 1/256 = 0.00390625 m for KITTI.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: the folder, the list, or most files are missing.
    """
    place, split = places.place(root), split or "train"
    paired_folders.require(place, split)
    file = _list(place, split, lists)
    if file is None:
        pairs = paired_folders.found(place, split, DEPTHS, what="depth")
    else:
        pairs = _pairs(file, place / images, place / depths)
    said = Said(
        place,
        pairs.images,
        lambda index: Annotations(depth=said_by(pairs.others[index], lambda d: _depth(d, factor))),
        pairs.others,
        settings=factor,
    )
    return AnnotatedFiles(
        "depth_list",
        said,
        decode=decoder(decode, orientation=False, max_pixels=max_pixels),
        account=Account(0, warnings=pairs.warnings),
    )


def _list(place, split: str, lists: str | None):
    """The list of a split; None where there are no lists at all."""
    if lists is not None:
        file = place / lists.replace("{split}", split)
        if not file.is_file():
            raise NoSplit(f"there is no list '{file}' of the {split} split")
        return file
    texts = [file for file in sorted(place.iterdir()) if file.name.lower().endswith(".txt")]
    kinds = {file: parted(file.name[:-4])[0] for file in texts}
    for kind in ORDER[split]:
        fitting = [file for file, found in kinds.items() if found == [kind]]
        if len(fitting) > 1:
            raise ConfigError(
                f"'{place}' has the lists {listed(file.name for file in fitting)}; say which is "
                "meant: data.lists, with {split} in it for train or test"
            )
        if fitting:
            return fitting[0]
    if any(kinds.values()):
        raise NoSplit(f"'{place}' has no list of the {split} split, but others")
    return None


def _pairs(file, images, depths) -> Pairs:
    """The files that the lines of a list name; lines without a depth are left out."""
    try:
        data = places.content(file, size=MOST + 1)
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{file}' cannot be read: {error}") from error
    if len(data) > MOST:
        raise ConfigError(f"'{file}' has more than {MOST} bytes, which no list has")
    pairs, absent, missing = [], 0, []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) < SHORT:
            raise ConfigError(f"line {number} of '{file}' is {line[:80]!r}, expected image depth")
        if words[1] == ABSENT:
            absent += 1
            continue
        image, depth = (
            base / _inner(word, file, number)
            for base, word in zip((images, depths), words[:SHORT], strict=True)
        )
        if depth.is_file():
            pairs.append((image, depth))
        else:
            missing.append(str(depth))
    if not pairs:
        gone = f"; there is no {listed(missing)}" if missing else ""
        raise ConfigError(f"'{file}' names no image whose depth is there{gone}")
    warnings = (f"left out {absent} images without a depth, which '{file}' says",) if absent else ()
    if missing:
        warnings += (f"left out {len(missing)} images whose depth is missing: {listed(missing)}",)
    return Pairs(*map(list, zip(*pairs, strict=True)), warnings)


def _inner(word: str, file, number: int) -> str:
    """A path of a list, which may begin with a stroke, but leads nowhere else."""
    parts = PurePosixPath(word.lstrip("/")).parts
    if not parts or ".." in parts:
        raise ConfigError(
            f"line {number} of '{file}' names '{word}', which leads out of the folder"
        )
    return "/".join(parts)


def _depth(data: bytes, factor: float) -> Array:
    """(H, W) float32 of a PNG."""
    return annotation_forms.depth(data) * np.float32(factor)
