"""Which views a config asks for: `config.crops`, whose `name` says the kind."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, Protocol

import numpy as np

from m3i_jax import build
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views import crops
from m3i_jax.data.views.annotated import PLACES, Wanted
from m3i_jax.data.views.crops import LOCAL, Crops
from m3i_jax.data.views.person_crops import PersonCrops
from m3i_jax.data.views.scale_jitter import OUTLINES, ScaleJitter
from m3i_jax.data.views.track_crops import TEMPLATE, TrackCrops
from m3i_jax.texts import OneOf
from m3i_jax.types import Batch

RANDOM = "random_resized"
VIEWS: Mapping[str, Callable[..., "Views"]] = {
    RANDOM: Crops,
    "scale_jitter": ScaleJitter,
    "person": PersonCrops,
    "track": TrackCrops,
}


class Views(Protocol):
    """What makes the views of a training sample: a frozen dataclass of numbers and texts.

    size, views, local, repeats: as of `Crops`.   decode, resize, rand_augment: "exact", "exact" and
    None where there is no choice.
    """

    size: int
    views: tuple[str, ...]
    local: int
    repeats: int

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Batch:
        """One row of a batch."""

    def annotated(self, sample: Sample, rng: np.random.Generator, wanted: Wanted) -> Batch:
        """The same, with annotations of each view."""


class Kind(NamedTuple):
    """name: which views these are; without it, random resized crops."""

    name: Annotated[str, OneOf(*VIEWS)] = RANDOM


def named(block: Mapping[str, Any]) -> str:
    """The kind that a block asks for.

    Raises:
      ConfigError: there is none of that name.
    """
    name = block.get("name", RANDOM)
    build.lookup(VIEWS, name, what="config.crops")
    return name


def of(block: Mapping[str, Any], *, size: int, views: Sequence[str], local: int = 0) -> Views:
    """The views that `config.crops` describes.

    Args:
      block: keywords of the kind that its `name` says.
      size: height of the views, config.image.
      views, local: names of the views, and how many small ones there are.

    Raises:
      ConfigError: an unknown name, or values that no view can be drawn by.
    """
    kind, keywords = named(block), {key: value for key, value in block.items() if key != "name"}
    if local and kind != RANDOM:
        raise ConfigError(
            f"config.crops.name='{kind}' makes no small crops, but {local} are looked at: take "
            f"'{RANDOM}', or an objective that looks at none"
        )
    return VIEWS[kind](size=size, views=tuple(views), local=local, **keywords)


def sides(block: Mapping[str, Any], size: int, *, view: str = "a") -> tuple[int, int]:
    """Height and width of a view that `config.crops` describes, where config.image is `size`."""
    if LOCAL.fullmatch(view):
        return (block.get("local_size", Crops.local_size),) * 2
    if named(block) == "track" and view == TEMPLATE:
        return (block.get("template", TrackCrops.template),) * 2
    return size, block.get("width") or size


def room(block: Mapping[str, Any]) -> dict[str, int]:
    """`places` for the objects of a view, and the `side` of their masks, see `annotated.Wanted`."""
    if named(block) == "track":
        return {"places": 1, "side": 0}
    own = lambda name, other: int(block.get(name, other))  # noqa: E731
    return {"places": own("objects", PLACES), "side": own("outlines", OUTLINES)}


def describe(views: Views) -> Mapping[str, Any]:
    """The settings that decide what is drawn, as plain data, for fingerprints."""
    if isinstance(views, Crops):
        return crops.describe(views)
    return {"transform": type(views).__name__, **dataclasses.asdict(views)}
