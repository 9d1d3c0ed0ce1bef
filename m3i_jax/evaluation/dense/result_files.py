"""What was found in images, as a file in COCO's result format, which its evaluators read.

    [{"image_id": 42, "category_id": 18, "bbox": [left, top, width, height], "score": 0.93,
      "segmentation": {"size": [height, width], "counts": "…"}}, …]

https://cocodataset.org/#format-results
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax import jsonfile, ordinary
from m3i_jax.build import ConfigError
from m3i_jax.metrics import objects
from m3i_jax.metrics.objects import Found

SIZE = 2**31  # bytes of a file that is read


def coco_results(found: Found, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    """A line for each object, in their order; `segmentation` of those that have masks.

    A mask of (H, W) booleans becomes runs in letters; one that is runs or polygons stays as it is.

    Args:
      category_ids: the number that the data set has for each category.
    """
    boxes = objects.coco_box(found.corners)
    rows = zip(found.image.tolist(), found.category.tolist(), found.score.tolist(), strict=True)
    said: list[dict[str, Any]] = [
        {"image_id": image, "category_id": int(category_ids[one]), "bbox": box, "score": score}
        for (image, one, score), box in zip(rows, boxes, strict=True)
    ]
    if found.masks is not None:
        for line, mask in zip(said, found.masks, strict=True):
            whole = isinstance(mask, np.ndarray)
            line["segmentation"] = objects.run_lengths(mask) if whole else mask
    return said


def write(file: str | Path, found: Found, category_ids: Sequence[int]) -> None:
    """Writes `coco_results` to a file, whole or not at all.

    Raises:
      OSError: it cannot be written.
    """
    lines = (json.dumps(one, allow_nan=False) for one in coco_results(found, category_ids))
    text = "[" + ",\n".join(lines) + "]\n"
    ordinary.written(file, text.encode())


def read(file: str | Path, category_ids: Sequence[int]) -> Found:
    """What a file says was found; boxes that are lacking are 0, masks are there if all have one.

    Args:
      category_ids: the number that the data set has for each category.

    Raises:
      ConfigError: it cannot be read, or is no such file.
    """
    number = {id_: place for place, id_ in enumerate(category_ids)}
    try:
        said = jsonfile.read(Path(file), size=SIZE)
        if not isinstance(said, list):
            raise ValueError("it is no list")
        boxes = np.array([one.get("bbox", (0, 0, 0, 0)) for one in said], np.float64)
        left, top, width, height = boxes.reshape(-1, 4).T
        masks = [_mask(one.get("segmentation")) for one in said]
        return Found(
            np.array([_whole(one["image_id"]) for one in said], np.int64),
            np.stack([top, left, top + height, left + width], axis=1),
            np.array([number[_whole(one["category_id"])] for one in said], np.int64),
            np.array([one["score"] for one in said], np.float64),
            masks if said and all(mask is not None for mask in masks) else None,
        )
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        why = f"it has, or lacks, {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(f"'{file}' is no file of COCO's results: {why}") from error


def _mask(said: Any) -> Any:
    if said is None or isinstance(said, list | Mapping):
        return said
    raise ValueError(f"a segmentation is {said!r}")


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise ValueError(f"{number!r} is no whole number")
    return number
