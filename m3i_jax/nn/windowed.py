"""A stack of blocks of which most attend in windows of a map, and some to all of it.

Plain ViTs on large images, Li et al. 2022, §3 "Backbone adaptation",
https://arxiv.org/abs/2203.16527.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from m3i_jax.nn.attention import Shared, Tokens
from m3i_jax.nn.blocks import REMAT, Reports, TransformerBlock, drop_rates
from m3i_jax.nn.relative import Offsets, of_side
from m3i_jax.nn.rotary import Rotation
from m3i_jax.nn.windows import Windows
from m3i_jax.types import Grid

Body = Callable[[Tokens, Any], tuple[Tokens, Any]]


class Layout(NamedTuple):
    """Which block attends where.

    learned: (rows, columns) of the map that tables are made for.  grid: of the map that is there.
    window: cells of a side; 0 = all blocks attend to the whole map.
    everywhere: numbers, from 1, of the blocks that do so beside windows.
    offsets: whether each block has codes of the offsets between cells, see `with_offsets`.
    """

    learned: Grid
    grid: Grid
    window: int
    everywhere: tuple[int, ...]
    offsets: bool

    def windowed(self, block: int) -> bool:
        """Whether the block of this number, from 0, attends in windows."""
        return bool(self.window) and block + 1 not in self.everywhere

    def windows(self, *, windowed: bool) -> Windows | None:
        """How the map is cut for blocks that do or do not; None where there is no need to."""
        if windowed:
            return Windows(self.grid, (self.window, self.window), (0, 0))
        return Windows(self.grid, self.grid, (0, 0)) if self.offsets else None

    def tables(self, block: int) -> Grid:
        """Sides of the map that the tables of offsets of a block are for."""
        return (self.window, self.window) if self.windowed(block) else self.learned


def windowed_stack(
    module: nn.Module,
    x: Tokens,
    layout: Layout,
    *,
    depth: int,
    rotation: Rotation | None = None,
    drop_path: float = 0.0,
    schedule: str = "linear",
    attention_dropout: float = 0.0,
    train: bool = False,
    scan: bool = True,
    remat: str = "none",
    **block: Any,
) -> tuple[Tokens, Reports]:
    """`depth` blocks applied to x (B, h·w, D), inside a compact method of `module`.

    Parameters are those of `blocks.stack`, stacked in `blocks`, and of each block the codes of its
    offsets, `blocks_{i}/relative_position/{rows, columns}`, i from 0, which start at zero.

    Args:
      module: whose parameters they are.
      x: tokens of a map, row by row.
      layout: which block attends where.
      depth, rotation, drop_path, schedule, attention_dropout, train, remat: see `blocks.stack`.
      scan: compile a block of either kind once and loop; otherwise unroll the loops.
      **block: fields of `TransformerBlock`.

    Returns:
      x and (layers (depth, B, n, D), one array of weights for each block), None unless kept.
    """
    dropped = train and drop_path > 0
    block["attention_dropout"] = attention_dropout if train else 0.0
    kinds = {
        one: TransformerBlock(**block, windows=layout.windows(windowed=one), drop=dropped)
        for one in (True, False)
    }
    numbers, rates = jnp.arange(1, depth + 1), drop_rates(drop_path, schedule, depth)
    unseen = dict(keep_layers=False, keep_attention=False)
    plain = TransformerBlock(**block | unseen)
    drawn = dict(params=_parameters(module, plain, x.shape[-1], depth), rate=rates, number=numbers)
    if dropped or block["attention_dropout"]:
        drawn["key"] = jax.random.split(module.make_rng("droppath"), depth)
    tables = [_tables(module, i, layout, block["heads"], x.shape[-1]) for i in range(depth)]

    runs = _runs([layout.windowed(i) for i in range(depth)])
    bodies = {one: _body(kind, rotation, remat, scan) for one, kind in kinds.items()}
    each = [_of_run(runs, start, count, drawn, tables) for start, count, _ in runs.all]

    def group(x, each):
        kept = []
        for (_, _, windowed), own in zip(runs.all, each, strict=True):
            x, reports = _looped(bodies[windowed], x, own, scan=scan)
            kept.append(reports)
        return x, kept

    x, kept = _looped(group, x.astype(jnp.float32), each, scan=scan)
    return x, _reports(kept, runs, depth)


def _body(block, rotation, remat, scan):
    """What a block makes of x and of what it has of its own."""

    def applied(x, own):
        shared = Shared(rotation=rotation, offsets=own.get("offsets"))
        rngs = {"droppath": own["key"]} if "key" in own else {}
        arguments = {"params": own["params"]}, x, own["rate"], own["number"], shared
        return block.apply(*arguments, rngs=rngs)

    if REMAT[remat] is None:
        return applied
    return jax.checkpoint(applied, policy=REMAT[remat], prevent_cse=not scan)


class _Runs(NamedTuple):
    """Blocks of one kind behind each other, in a group that repeats itself."""

    groups: int
    all: list[tuple[int, int, bool]]  # first block, how many, in windows


def _runs(kinds: Sequence[bool]) -> _Runs:
    """The shortest group of which all blocks are repetitions, and its runs."""
    depth = len(kinds)
    size = next(
        n for n in range(1, depth + 1) if depth % n == 0 and kinds[:n] * (depth // n) == [*kinds]
    )
    runs, start = [], 0
    for kind, same in itertools.groupby(kinds[:size]):
        count = len([*same])
        runs.append((start, count, kind))
        start += count
    return _Runs(depth // size, runs)


def _of_run(runs, start, count, drawn, tables):
    """What the blocks of a run have of their own, (groups, blocks, ...)."""
    numbers = np.arange(len(tables)).reshape(runs.groups, -1)[:, start : start + count]
    own = jax.tree.map(lambda leaf: leaf[numbers], drawn)
    if tables[0] is not None:
        own["offsets"] = _stacked([_stacked([tables[i] for i in group]) for group in numbers])
    return own


def _looped(fn: Body, x: Tokens, xs: Any, *, scan: bool) -> tuple[Tokens, Any]:
    """fn for each of the leading axis of xs, one after another; results are stacked."""
    count = len(jax.tree.leaves(xs)[0])
    if scan and count > 1:
        return jax.lax.scan(fn, x, xs)
    kept = []
    for i in range(count):
        x, y = fn(x, jax.tree.map(lambda a, i=i: a[i], xs))
        kept.append(y)
    return x, _stacked(kept)


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _parameters(module, block, width, depth):
    """Those of all blocks, stacked, drawn as `blocks.stack` draws them."""
    token, rate = jnp.zeros((1, 1, width)), jnp.zeros(())

    def one(key, number):
        return block.init(key, token, rate, number, Shared())["params"]

    def all_of_them(key):
        return jax.vmap(one)(jax.random.split(key, depth), jnp.arange(1, depth + 1))

    return module.param("blocks", all_of_them)


def _tables(
    module: nn.Module, block: int, layout: Layout, heads: int, width: int
) -> Offsets | None:
    """The codes of offsets of a block, for the map or window in which it attends; None = none."""
    if not layout.offsets:
        return None
    learned, names = layout.tables(block), ("rows", "columns")
    shapes = {
        name: (2 * side - 1, width // heads) for name, side in zip(names, learned, strict=True)
    }

    def zeros(key):
        return {"relative_position": {name: jnp.zeros(shape) for name, shape in shapes.items()}}

    codes = module.param(f"blocks_{block}", zeros)["relative_position"]
    at = learned if layout.windowed(block) else layout.grid
    return tuple(of_side(codes[name], side) for name, side in zip(names, at, strict=True))


def _reports(kept, runs, depth):
    """(layers, weights) of `blocks.stack` of what runs kept, each (groups, blocks, ...)."""
    layers = jax.tree.map(lambda *x: jnp.concatenate(x, 1), *(layer for layer, _ in kept))
    layers = jax.tree.map(lambda x: x.reshape(depth, *x.shape[2:]), layers)
    weights = None
    if kept[0][1] is not None:
        weights = tuple(
            jax.tree.map(lambda x, g=g, i=i: x[g, i], found)
            for g in range(runs.groups)
            for (_, count, _), (_, found) in zip(runs.all, kept, strict=True)
            for i in range(count)
        )
    return layers, weights
