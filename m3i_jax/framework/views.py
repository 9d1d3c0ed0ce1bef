"""Views that a method derives from the host's views inside the step."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Key

from m3i_jax import masks, mixing
from m3i_jax.types import Array, Box, Features, Grid, Region, View


class DerivedInputs(NamedTuple):
    """What is known when a view is made of codes: no gradient flows through any of it.

    representations: by role of the code.  visible: the cells that each code saw.
    decode: (decoder, role) -> what a decoder of the online network makes of a representation.
    network, states: for what lives in them, such as the picture that a tokenizer decodes.
    """

    representations: Mapping[str, Features]
    visible: Mapping[str, Bool[Array, "batch _rows _columns"]]
    decode: Callable[[str, str], Float[Array, "batch tokens dim"]]
    network: Any
    states: Mapping[str, Any]


class DerivedView(NamedTuple):
    """A view made of others, and possibly of codes, which then are encoded before it.

    needs: the views it is made of.
    make: (key, views, *, grid, patch) -> View; with `codes`, (key, views, inputs, *, grid, patch).
    count: (region, grid) -> number of cells of that region in every image.
    group: rows exchange images only within consecutive groups of this size (None = the batch).
    mixes: whether each region has cells of its own.
    partners: whether each row needs another one of its group.
    hidden: share of the cells that show the second image, where there are such.
    codes: {role: code} that it is made of, see `DerivedInputs`.
    """

    needs: tuple[str, ...]
    make: Callable[..., View]
    count: Callable[[str, Grid], int]
    group: int | None = None
    mixes: bool = True
    partners: bool = False
    hidden: float | None = None
    codes: Mapping[str, str] = MappingProxyType({})


def mixed(
    first: str,
    second: str,
    *,
    hidden: float = 0.5,
    mask: Callable[..., Bool[Array, "batch rows columns"]] = masks.blockwise,
    group: int | None = None,
) -> DerivedView:
    """M3I's input, mix_i = m_i ⊙ first_i + (1 − m_i) ⊙ second_σ(i) (docs/methods.md#mixed-images).

    The blocks of the mask (a share `hidden` of the grid) show the second image of a random
    partner σ(i) ≠ i, their complement the first image of row i itself. Regions: "first" and
    "second", each with its cells, the sample it shows and that sample's crop box.
    """

    def make(key, views, *, grid, patch):
        one, other = views[first], views[second]
        batch = one.data.shape[0]
        # (B, h, w) bool cells, of which a share `hidden` is False, and (B,) partners.
        key_mask, key_partner = jax.random.split(key)
        cells = mask(key_mask, batch, grid, hidden)
        partner = mixing.partner(key_partner, batch, group=group)
        # Row i now holds sample σ(i), and with it that sample's crop box.
        there = mixing.take(other.data, partner, group=group)
        box = other.box and Box(*(mixing.take(x, partner, group=group) for x in other.box))
        regions = {
            "first": Region(cells, jnp.arange(batch, dtype=jnp.int32), one.box),
            # The owner says whose target each half has: `scoring` gathers targets by it.
            "second": Region(~cells, partner, box),
        }
        return View(mixing.mix(one.data, there, cells, patch), regions=regions)

    def count(region, grid):
        blocks = masks.count(hidden, grid)
        return blocks if region == "second" else grid[0] * grid[1] - blocks

    return DerivedView((first, second), make, count, group, partners=True, hidden=hidden)


def blended(
    view: str,
    *,
    mixup: float = 0.8,
    cutmix: float = 1.0,
    least: float = 0.0,
    per: str = "batch",
    group: int | None = None,
) -> DerivedView:
    """Each image with another one of the batch, by mixup or by cutmix (the multi-input case).

    mixup, cutmix: α of Beta(α, α), 0 switches one off; where both are on, each is as likely.
    per: one choice, λ and box for all images of a "batch", or for each "row" (timm's "batch" and
      "elem").  group: rows whose partners are among themselves, in opposite order (timm).

    Regions "first" and "second" share the view by λ and 1 − λ; "both" is all of it, and has the
    owners whose shares are more than `least`: one of them twice where one is alone.
    """
    if not (mixup > 0 or cutmix > 0):
        raise ValueError("blending needs mixup or cutmix to be more than 0")
    if per not in mixing.PER:
        raise ValueError(f"images are mixed alike per 'batch' or per 'row', not per {per!r}")
    if not 0 <= least < 0.5:
        raise ValueError(f"a share that is always there is in [0, 0.5), not {least}")

    def make(key, views, *, grid, patch):
        one = views[view].data
        rows = one.shape[0]
        # Mirrored alone, a row would be mixed with itself.
        if 1 in (rows, group):
            raise ValueError("images are mixed with others: there must be two or more in a batch")
        own = jnp.arange(rows, dtype=jnp.int32)
        partner = mixing.mirrored(own, group=group)
        data, share = _blend(key, one, mixing.mirrored(one, group=group), mixup, cutmix, per)
        # An image with no share in the view has no place among its categories: the other one stands
        # there twice, (B, 2) as always.
        one_shown = jnp.where(share > least, own, partner)
        other_shown = jnp.where(1.0 - share > least, partner, own)
        regions = {
            "first": Region(None, own, share=share),
            "second": Region(None, partner, share=1.0 - share),
            "both": Region(None, jnp.stack([one_shown, other_shown], axis=1)),
        }
        return View(data, regions=regions)

    everywhere = lambda region, grid: grid[0] * grid[1]  # noqa: E731
    return DerivedView((view,), make, everywhere, group, mixes=False, partners=True)


def _blend(
    key: Key[Array, ""],
    one: Float[Array, "batch height width channels"],
    other: Float[Array, "batch height width channels"],
    mixup: float,
    cutmix: float,
    per: str,
) -> tuple[Float32[Array, "batch height width channels"], Float32[Array, " batch"]]:
    """The images by mixup or by cutmix, whichever is on or drawn, and the shares of the first."""
    key_kind, key_mixup, key_cutmix = jax.random.split(key, 3)
    add = lambda: mixing.mixup(key_mixup, one, other, alpha=mixup, per=per)  # noqa: E731
    cut = lambda: mixing.cutmix(key_cutmix, one, other, alpha=cutmix, per=per)  # noqa: E731
    if not (mixup > 0 and cutmix > 0):
        return add() if mixup > 0 else cut()
    if per == "batch":
        # One draw for the batch: only the one that was drawn is computed. Below, every row draws,
        # so both are.
        return jax.lax.cond(jax.random.bernoulli(key_kind), add, cut)
    chosen = jax.random.bernoulli(key_kind, shape=one.shape[:1])
    pick = lambda a, b: jnp.where(chosen.reshape(-1, *(1,) * (a.ndim - 1)), a, b)  # noqa: E731
    return jax.tree.map(pick, add(), cut())
