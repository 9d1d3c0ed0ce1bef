"""Images with masks of categories: ADE20K, PASCAL VOC, Cityscapes, and any two folders of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import annotation_forms, mask_layouts, places, urls
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said, said_by
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.mask_layouts import UNNAMED, Layout
from m3i_jax.data.sources.protocol import Account
from m3i_jax.ranges import Count, Range
from m3i_jax.texts import Filled
from m3i_jax.types import Array


def segmentation_folder(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    reduce_zero: bool = False,
    names: Filled | None = None,
    count: Annotated[int, Range(1, 255)] | None = None,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> AnnotatedFiles:
    """Images with masks of categories, PNG files of one byte a pixel or of a palette.

    ADE20K (`images/training`, `annotations/training`), PASCAL VOC, Cityscapes, or `images/` and
    `masks/` in a folder, with splits in them or around them. 255 in a mask is a pixel that nobody
    has named. A mask that is missing leaves its image out; one of another size, or with other
    numbers, is a record that cannot be read.

    Args:
      root: the folder, or a zip file of it.
      split: "train" or "test".
      classes: of the training split; images have no labels.
      reduce_zero: 0 is 255, and k is k − 1: ADE20K's numbers, whose 0 is everything else.
      names: a file of names of the categories, one a line; None = that of the archive, or one
        called classes.txt beside the folders.
      count: how many categories there are, where nobody names them.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: folders, masks or names are missing.
    """
    place = places.place(root)
    layout = mask_layouts.look(place, split or "train")
    categories = _categories(layout, names, count, place)
    table = _table(layout.table, len(categories), reduce_zero)
    images, masks, warnings = layout.pairs
    said = Said(
        place,
        images,
        lambda index: Annotations(mask=said_by(masks[index], lambda data: _mask(data, table))),
        masks,
        settings=table.tolist(),
    )
    return AnnotatedFiles(
        "segmentation_folder",
        said,
        decode=decoder(decode, orientation=False, max_pixels=max_pixels),
        account=Account(0, warnings=warnings),
        categories=categories,
    )


def _categories(layout: Layout, file: str | None, count: int | None, place) -> tuple[str, ...]:
    """The names of the categories, numbers where they have none."""
    names = mask_layouts.names(Path(urls.local(file))) if file else layout.categories
    if not names and count is None:
        raise ConfigError(
            f"nobody names the categories of the masks in '{place}': put classes.txt beside the "
            "folders, a name a line, or say data.count"
        )
    if names and count not in (None, len(names)):
        raise ConfigError(f"data.count is {count}, but {len(names)} categories are named")
    return names or tuple(map(str, range(count)))


def _table(table: Array | None, count: int, reduce_zero: bool) -> Array:
    """(256,) int16 category of each number in a mask, 255 = unnamed, -1 = there is none."""
    if table is not None and reduce_zero:
        raise ConfigError("data.reduce_zero is of ADE20K, but what these numbers mean is known")
    if table is not None:
        return table
    first = int(reduce_zero)
    return mask_layouts.table(range(first, first + count), unnamed=range(first))


def _mask(data: bytes, table: Array) -> Array:
    """(H, W) uint8 categories of a PNG."""
    numbers = annotation_forms.mask(data)
    categories = table[numbers]
    if (categories < 0).any():
        wrong, known = np.unique(numbers[categories < 0]), np.flatnonzero(table >= 0)
        raise ValueError(
            f"it has the number {wrong[0]}, which stands for no category: known are "
            f"{known[0]} to {known[known < UNNAMED][-1]}, and {UNNAMED} for what has no name"
        )
    return categories.astype(np.uint8)
