"""What the whole of a recipe takes on some chips: hours, price, disk, and hosts that feed it."""

from typing import NamedTuple

import jax

from m3i_jax.training import schema
from m3i_jax.training.config import Config
from m3i_jax.training.planning.estimate import Traced

# Milliseconds of a core for a sample of two views of 224 pixels through the loader, and the bytes
# of its JPEG, 500 x 375: docs/benchmarks.md#the-host. By how a view is resized.
CORE_MS = {"exact": 4.38, "fast": 1.92, "aliased": 1.65, "device": 1.92}
JPEG = 106e3


class Recipe(NamedTuple):
    """What a run takes where a step takes so many `seconds`, at least.

    images: a second.  hours: of the run.  chip_hours: of all chips.  checkpoint: bytes of one.
    cores, disk: cores, and bytes a second, that feed it (`CORE_MS`, `JPEG`).
    """

    images: float
    hours: float
    chip_hours: float
    checkpoint: int
    cores: float
    disk: float


def recipe(config: Config, run: Traced, seconds: float, chips: int) -> Recipe:
    """Of a run whose step takes so many seconds on so many chips."""
    images, hours = run.batch / seconds, run.steps * seconds / 3600
    state = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(run.state))
    core = CORE_MS[config.crops.get("resize", "exact")] / 1e3
    return Recipe(images, hours, hours * chips, state, images * core, images * JPEG)


def lines(config: Config, run: Traced, found: Recipe, price: float | None) -> list[str]:
    """The same in words, with what it assumes. price: of a chip for an hour."""
    keep = schema.Saves(**config.checkpoint).keep
    cost = "" if price is None else f", {found.chip_hours * price:,.0f} at {price:g} a chip-hour"
    rows = {
        "images": f"at most {found.images:,.0f} a second",
        "whole recipe": f"{run.steps} steps of {run.batch} images: at least {found.hours:.3g} "
        f"hours, {found.chip_hours:,.0f} chip-hours{cost}",
        "checkpoint": f"{found.checkpoint / 2**30:.2f} GiB, of which {keep + 1} are kept",
        "hosts": f"{found.cores:.0f} cores and {found.disk / 1e6:,.0f} MB/s at that rate, for two "
        f"views of JPEGs of {JPEG / 1e3:.0f} kB (docs/benchmarks.md)",
    }
    return [f"  {name:<18} {words}" for name, words in rows.items()]
