"""Towers: encoders by their names in a network, and what is seen of them from outside."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import linen as nn

from m3i_jax import encoders
from m3i_jax.types import Grid


class Tower(NamedTuple):
    """An encoder, or a feature head, seen from outside; grid and patch are those of its images.

    kind: "image", "text", "table" or "head".
    masking: what it does with hidden cells, "drop" or "mask"; "" = it must see every pixel.
    stride: pixels that divide the sides of the images.
    depths: blocks of each stage, whose outputs it can return.
    reach: pixels per cell of each stage; () where there are no images.
    """

    width: int
    grid: Grid | None
    patch: int | None
    kind: str
    masking: str = ""
    stride: int = 1
    depths: tuple[int, ...] = ()
    reach: tuple[int, ...] = ()

    @property
    def depth(self) -> int:
        """Blocks of all stages."""
        return sum(self.depths)

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell of the map behind every block."""
        stages = zip(self.depths, self.reach, strict=True)
        return tuple(cell for depth, cell in stages for _ in range(depth))


def described(module: nn.Module) -> Tower:
    """What is seen of an encoder from outside."""
    masking, patch = getattr(module, "masking", ""), module.patch
    # Codes may be of finer cells than those of the last stage, which must divide the sides, too.
    stride = math.lcm(patch or 1, getattr(module, "stride", 1))
    depths = tuple(getattr(module, "depths", ())) or (getattr(module, "depth", 0),)
    reach = getattr(module, "reach", None)
    if reach is None and patch:  # each stage halves the map of the one before
        reach = tuple(patch // 2**after for after in reversed(range(len(depths))))
    whole = (masking, stride, depths if any(depths) else (), reach or ())
    return Tower(module.features, module.grid, patch, module.kind, *whole)


def encoder_module(
    tower: str, block: Mapping[str, Any], filling: Mapping[str, Any], make: Callable
) -> nn.Module:
    """Module of a tower; `filling` is for the options that it has and its block leaves open."""
    what = place(tower)
    _, kwargs = encoders.choose(block, what=what)
    name = block["name"]
    # Only what it accepts: a table of classes has neither images nor products to be told of.
    kwargs = {k: v for k, v in filling.items() if encoders.accepts(name, k)} | kwargs
    kwargs.pop("shares", None)
    return encoders.create(name, what=what, others=("shares",), make=make, **kwargs)


def place(tower: str) -> str:
    """Where a config describes a tower."""
    return "config.encoder" if tower == "image" else f"config.towers.{tower}"
