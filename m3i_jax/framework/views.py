"""Views that a method derives from the host's views inside the step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from m3i_jax import masks, mixing
from m3i_jax.types import Array, Box, Grid, Region, View


class Derived(NamedTuple):
    """A view made of others.

    needs: the views it is made of.
    make: (key, views, *, grid, patch) -> View.
    count: (region, grid) -> number of cells of that region in every image.
    group: rows exchange images only within consecutive groups of this size (None = the batch).
    """

    needs: tuple[str, ...]
    make: Callable[..., View]
    count: Callable[[str, Grid], int]
    group: int | None = None


def mixed(
    first: str,
    second: str,
    *,
    hidden: float = 0.5,
    mask: Callable[..., Array] = masks.blockwise,
    group: int | None = None,
) -> Derived:
    """M3I's input, mix_i = m_i ⊙ first_i + (1 − m_i) ⊙ second_σ(i) (METHODS §4.1).

    The blocks of the mask (a share `hidden` of the grid) show the second image of a random
    partner σ(i) ≠ i, their complement the first image of row i itself. Regions: "first" and
    "second", each with its cells, the sample it shows and that sample's crop box.
    """

    def make(key, views, *, grid, patch):
        one, other = views[first], views[second]
        batch = one.data.shape[0]
        key_mask, key_partner = jax.random.split(key)
        cells = mask(key_mask, batch, grid, hidden)
        partner = mixing.partner(key_partner, batch, group=group)
        there = mixing.take(other.data, partner, group=group)
        box = other.box and Box(*(mixing.take(x, partner, group=group) for x in other.box))
        regions = {
            "first": Region(cells, jnp.arange(batch, dtype=jnp.int32), one.box),
            "second": Region(~cells, partner, box),
        }
        return View(mixing.mix(one.data, there, cells, patch), regions=regions)

    def count(region, grid):
        blocks = masks.count(hidden, grid)
        return blocks if region == "second" else grid[0] * grid[1] - blocks

    return Derived((first, second), make, count, group)
