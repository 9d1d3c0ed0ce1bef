"""How archives of semantic segmentation are laid out: where masks are, what their numbers mean.

PASCAL VOC 2012: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and its `ImageSets/Segmentation`.
Cityscapes: https://www.cityscapes-dataset.com, whose 19 of 34 categories are those of
https://github.com/mcordts/cityscapesScripts (`helpers/labels.py`). Others: `paired_folders`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import folder_tree, paired_folders, places
from m3i_jax.data.sources.folder_names import splits
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.paired_folders import Pairs
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.types import Array

UNNAMED = 255
MASKS = re.compile(r"masks?|annotations?|annots?|labels?|segmentations?|segmentationclass|gts?")
LISTS = re.compile(r"classes|labels|classnames|class_names|categories|objectinfo\d+")  # .txt
MOST_LINES = 10_000

VOC = tuple(
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor".split()
)
VOC_LISTS = {"train": "train.txt", "test": "val.txt"}

CITYSCAPES = {  # category of training -> its number among all
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17,
    "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31, "motorcycle": 32,
    "bicycle": 33,
}  # fmt: skip
CITYSCAPES_ALL = 34
CITYSCAPES_SPLITS = {"train": "train", "test": "val"}  # masks of its test split name nothing


class Layout(NamedTuple):
    """pairs: images and masks.   categories: their names, () = nobody says.

    table: (256,) int16, category of each number in a mask, `UNNAMED`, or -1 = there is none; None =
    the archive does not say.
    """

    pairs: Pairs
    categories: tuple[str, ...] = ()
    table: Array | None = None


def look(root: Path | Inside, split: str) -> Layout:
    """The images and masks of a split.

    Raises:
      NoSplit: there is no such split.
      ConfigError: it is none of the layouts.
    """
    paired_folders.require(root, split)
    for inner in ("", "VOC2012", "VOCdevkit/VOC2012"):
        if (root / inner / "ImageSets/Segmentation").is_dir():
            return _voc(root / inner, split)
    if (root / "leftImg8bit").is_dir():
        return _cityscapes(root, split)
    return Layout(paired_folders.found(root, split, MASKS, what="mask"), _listed(root))


def names(file: Path | Inside) -> tuple[str, ...]:
    """The names of categories in a text file, one a line; of ADE20K's table its last column.

    Raises:
      ConfigError: it cannot be read, or names none.
    """
    try:
        lines = places.content(file).decode("utf-8-sig").splitlines()[:MOST_LINES]
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{file}' cannot be read: {error}") from error
    lines = [line.strip() for line in lines if line.strip()]
    if lines and "\t" in lines[0]:
        lines = [line.split("\t")[-1].strip() for line in lines[1:]]
    if not 0 < len(lines) <= UNNAMED:
        raise ConfigError(f"'{file}' names {len(lines)} categories, expected 1 to {UNNAMED}")
    return tuple(lines)


def table(numbers: Iterable[int], *, unnamed: Iterable[int] = ()) -> Array:
    """(256,) int16: the category of each number in a mask, see `Layout`.

    numbers: those of the categories in their order.   unnamed: further ones, beside 255.
    """
    categories = np.full(256, -1, np.int16)
    categories[[*unnamed, UNNAMED]] = UNNAMED
    numbers = [*numbers]
    categories[numbers] = range(len(numbers))
    return categories


def _listed(root: Path | Inside) -> tuple[str, ...]:
    """Of the only list of names beside the folders; () where there is none."""
    files = [file for file in root.iterdir() if file.suffix.lower() == ".txt"]
    files = [file for file in files if LISTS.fullmatch(file.stem.lower())]
    return names(files[0]) if len(files) == 1 else ()


def _voc(root: Path | Inside, split: str) -> Layout:
    file = root / "ImageSets/Segmentation" / VOC_LISTS[split]
    try:
        stems = places.content(file).decode().split()
    except (OSError, ValueError) as error:
        raise NoSplit(f"'{file}', which lists the {split} split, cannot be read") from error
    if wrong := [stem for stem in stems if not re.fullmatch(r"[\w-]+", stem)]:
        raise ConfigError(f"'{file}' lists '{wrong[0]}', which is no name of an image")
    where = root / "JPEGImages", root / "SegmentationClass"
    masks = {stem: where[1] / f"{stem}.png" for stem in stems}
    masks = {stem: mask for stem, mask in masks.items() if mask.is_file()}
    images = {stem: where[0] / f"{stem}.jpg" for stem in stems}
    pairs = paired_folders.joined(images, masks, what="mask", where=where)
    return Layout(pairs, VOC, table(range(len(VOC))))


def _cityscapes(root: Path | Inside, split: str) -> Layout:
    kind = CITYSCAPES_SPLITS[split]
    if kind not in splits(root / "leftImg8bit") or not (root / "gtFine" / kind).is_dir():
        raise NoSplit(f"'{root}' has no leftImg8bit/{kind} with gtFine/{kind} beside it")
    where = root / "leftImg8bit" / kind, root / "gtFine" / kind
    stem = lambda file, end: file.name.removesuffix(end)  # noqa: E731
    images = {stem(file, "_leftImg8bit.png"): file for file in folder_tree.below(where[0])}
    beside, tables = (
        folder_tree.below(where[1]),
        {
            "_gtFine_labelTrainIds.png": table(range(len(CITYSCAPES))),
            "_gtFine_labelIds.png": table(CITYSCAPES.values(), unnamed=range(CITYSCAPES_ALL)),
        },
    )
    there = (end for end in tables if any(file.name.endswith(end) for file in beside))
    end = next(there, [*tables][0])
    masks = {stem(file, end): file for file in beside if file.name.endswith(end)}
    pairs = paired_folders.joined(images, masks, what="mask", where=where)
    return Layout(pairs, tuple(CITYSCAPES), tables[end])
