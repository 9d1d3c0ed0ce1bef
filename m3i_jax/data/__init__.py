"""Data: sources, host views, batches. A source is chosen by a config block (`source`)."""

from collections.abc import Mapping
from typing import Any

from m3i_jax import build
from m3i_jax.data import digit_scenes, image_folder
from m3i_jax.data.samples import Sample, Source

SOURCES = {
    "digit_scenes": digit_scenes.digit_scenes,
    "image_folder": image_folder.image_folder,
}


def source(block: Mapping[str, Any], *, split: str) -> Source:
    """Builds the source that a config block describes.

    Args:
      block: {"name": "digit_scenes" or "image_folder", **arguments of that function}.
      split: "train" or "test"; which of the two a program reads is not the config's to say.

    Raises:
      ConfigError: an unknown name or argument (with the nearest right one), or missing data.
    """
    return build.build(SOURCES, block, what="config.data", split=split)
