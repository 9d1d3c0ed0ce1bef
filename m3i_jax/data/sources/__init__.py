"""Where images come from: one file a kind of source, chosen by a config block (`source`)."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from m3i_jax import build
from m3i_jax.data.sources import (
    array_record,
    arrays,
    depth_list,
    digit_scenes,
    held_out,
    hf_dataset,
    idx,
    image_folder,
    keypoints,
    mixture,
    moving_digits,
    objects,
    parquet,
    protocol,
    segmentation_folder,
    tar_shards,
    tfds,
    videos,
    yolo,
)
from m3i_jax.data.sources.protocol import Sample, Source

LOG = logging.getLogger(__name__)
SOURCES = {
    "digit_scenes": digit_scenes.digit_scenes,
    "moving_digits": moving_digits.moving_digits,
    "image_folder": image_folder.image_folder,
    "segmentation_folder": segmentation_folder.segmentation_folder,
    "depth_list": depth_list.depth_list,
    "keypoints": keypoints.keypoints,
    "objects": objects.objects,
    "yolo": yolo.yolo,
    "videos": videos.videos,
    "tar_shards": tar_shards.tar_shards,
    "parquet": parquet.parquet,
    "array_record": array_record.array_record,
    "tfds": tfds.tfds,
    "hf_dataset": hf_dataset.hf_dataset,
    "arrays": arrays.arrays,
    "held_out": held_out.held_out,
    "mixture": mixture.mixture,
    "fashion_mnist": idx.fashion_mnist,
    "mnist": idx.mnist,
}
# Of small squares, which an evaluation resizes and does not cut: their `evaluation_ratio` is 1.
WHOLE = ("digit_scenes", "fashion_mnist", "mnist")
GIVEN = ("split", "classes")  # what the program says to a source, and no config


def source(block: Mapping[str, Any], *, split: str, classes: Sequence[str] | None = None) -> Source:
    """Builds the source that a config block describes, and logs what it found and left out.

    Args:
      block: {"name": one of `SOURCES`, **arguments of that function}.
      split: "train" or "test"; which of the two a program reads is not the config's to say.
      classes: `Source.classes` of the training split, for any other; None lets the source look
        for them itself.

    Raises:
      ConfigError: an unknown name or argument (with the nearest right one), or missing data.
    """
    built = opened(block, split=split, classes=classes)
    account = protocol.account(built)
    for note in account.notes:
        LOG.info("%s data: %s", split, note)
    for warning in account.warnings:
        LOG.warning("%s data: %s", split, warning)
    return built


def evaluation_ratio(block: Mapping[str, Any]) -> float | None:
    """The `evaluation_ratio` of the source that a block names, unopened; None = it says none."""
    if block.get("name") == "held_out" and isinstance(block.get("of"), Mapping):
        return evaluation_ratio(block["of"])
    return 1.0 if block.get("name") in WHOLE else None


def opened(
    block: Mapping[str, Any],
    *,
    split: str,
    classes: Sequence[str] | None = None,
    what: str = "config.data",
) -> Source:
    """As `source`, without a word in the log; errors call the block `what`."""
    return build.build(SOURCES, block, what=what, split=split, classes=classes)
