"""Parameters made for other images: position tables, patches, channels.

Everything works on one module, as path -> array.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from m3i_jax import geometry
from m3i_jax.nn.relative import CLASS_ROWS, of_side
from m3i_jax.nn.resample import cubic_weights, resample
from m3i_jax.types import Grid

POSITIONS, RELATIVE = "pos_embed", "relative_position/table"
OF_BLOCKS = "blocks/attn/" + RELATIVE  # fine-tuned, each block has its own (BEiT, SimMIM)
AXIS = re.compile(r"relative_position/(rows|columns)$")  # codes of offsets along an axis
CLOSE = 1e-4  # between two float32 tables of the same sines, of values up to 1

Flat = dict[str, np.ndarray]


def fit(
    params: Mapping[str, np.ndarray],
    wanted: Mapping[str, Any],
    *,
    grid: Grid | None = None,
    source: Grid | None = None,
) -> tuple[Flat, list[str]]:
    """The parameters in the wanted shapes as far as they can be, and a sentence per change.

    Args:
      params: of an image encoder, or of a decoder with fixed positions.
      wanted: shapes by path.
      grid: of the wanted encoder; a square one if not given.
      source: of the encoder that they are from; where nobody says, a square one if the number of
        rows is a square, else that of the wanted encoder.
    """
    fitted, notes = dict(params), []
    if RELATIVE in fitted and RELATIVE not in wanted and OF_BLOCKS in wanted:
        depth = wanted[OF_BLOCKS].shape[0]
        fitted[OF_BLOCKS] = np.repeat(fitted.pop(RELATIVE)[None], depth, axis=0)
        notes.append(f"{RELATIVE} became that of each of {depth} blocks")
    for path in sorted(fitted.keys() & wanted.keys()):
        before, shape = fitted[path], wanted[path].shape
        if path.startswith("patch_embed/") and before.ndim == 4 and before.shape != shape:
            fitted[path] = _stem(before, shape)
        elif path == POSITIONS and before.ndim == 3:
            fitted[path] = _positions(before, shape, grid, source, "reg_token" in params)
        elif AXIS.search(path):
            fitted[path] = np.asarray(of_side(before, (shape[0] + 1) // 2))
        elif path.endswith(RELATIVE):
            fitted[path] = _relative(before, shape, grid, source, "cls_token" in params)
        if fitted[path].size != before.size:
            notes.append(f"{path} resized from {_by(before.shape)} to {_by(fitted[path].shape)}")
        elif path.endswith((POSITIONS, RELATIVE)) and fitted[path] is not before:
            guess = "" if source else ", taken to be square as nobody says what it is,"
            notes.append(f"{path} resampled from its grid{guess} to {_by(grid)}, of as many cells")
    if POSITIONS in fitted and POSITIONS not in wanted:
        kind = fixed(fitted[POSITIONS], source or grid)
        if kind is not None:
            table = fitted.pop(POSITIONS)
            notes.append(f"{POSITIONS} {_by(table.shape)} is the fixed table, {kind} first")
        if kind == "columns":
            fitted = renumbered(fitted)
    return fitted, notes


def _stem(kernel, shape):
    """(p, p, C, D) -> (p'·p'·3, D), or (p, p, 3, D) of a convolution that overlaps."""
    flat = len(shape) == 2
    channels = 3 if flat else shape[2]
    if kernel.shape[2] != channels:
        kernel = _channels(kernel, channels)
    side = math.isqrt(shape[0] // channels) if flat else kernel.shape[0]
    if side != kernel.shape[0]:
        kernel = _patches(kernel, side)
    return kernel.reshape(-1, kernel.shape[-1]) if flat else kernel


def _channels(kernel, channels):
    """As timm does: repeated over the channels and scaled so that equal channels give the same."""
    has = kernel.shape[2]
    repeated = np.tile(kernel, (1, 1, -(-channels // has), 1))[:, :, :channels]
    return (kernel.sum(2, keepdims=True) if channels == 1 else repeated * (has / channels)).astype(
        np.float32
    )


def _patches(kernel, side):
    """The kernel for patches of another size (FlexiViT, Beyer et al. 2023).

    Resizing a patch by R = cubic weights, K' = R⁺ᵀ K R⁺ gives the same code of the resized patch
    as K of the patch (larger patches), or the closest for white noise (smaller ones).
    https://arxiv.org/abs/2212.08013.
    """
    inverse = np.linalg.pinv(cubic_weights(kernel.shape[0], side))  # (p, p')
    return np.einsum("pi,qj,pqcd->ijcd", inverse, inverse, kernel).astype(np.float32)


def _positions(table, shape, grid, source, smooth):
    """(1, class + h·w, D) for another grid; the class token keeps its row, or has none to keep.

    smooth: beside registers, as the encoder itself has it.
    """
    rows, wanted = table.shape[1], shape[1]
    to = grid or _square(wanted)
    first = wanted - to[0] * to[1] if to else 2
    source = _source(rows, grid, source, lambda g: rows - g[0] * g[1] in (0, 1))
    if source is None or first not in (0, 1) or table.shape[2] != shape[2]:
        return table
    before = rows - source[0] * source[1]
    if (source, before) == (to, first) or before > first:
        return table
    token = table[0, :1] if before else np.zeros((first, table.shape[2]), table.dtype)
    cells = table[0, before:].reshape(*source, -1)
    moved = np.asarray(resample(cells, to, smooth=smooth)).reshape(-1, table.shape[2])
    return np.concatenate([token[:first], moved])[None]


def _square(rows):
    """The square grid of a table with a row for each cell, and perhaps one of the class token."""
    side = math.isqrt(rows)
    return (side, side) if rows - side**2 <= 1 else None


def _source(rows, grid, source, fits):
    """The grid of a table: what is stated, a square one, or the wanted one; None if none fits."""
    for candidate in (source, _square(rows), grid):
        if candidate and fits(candidate):
            return candidate
    return None


def _relative(table, shape, grid, source, class_token):
    """(..., (2h-1)(2w-1) + 3, heads) for another grid; the class token keeps its rows."""
    last = CLASS_ROWS * int(class_token)
    offsets = lambda g: (2 * g[0] - 1) * (2 * g[1] - 1)  # noqa: E731
    side, to_side = ((math.isqrt(x.shape[-2] - last) + 1) // 2 for x in (table, np.empty(shape)))
    to = grid or (to_side, to_side)
    candidates = (source, (side, side), grid)
    source = next((g for g in candidates if g and offsets(g) == table.shape[-2] - last), None)
    fits = offsets(to) == shape[-2] - last and table.shape[-1] == shape[-1]
    if source is None or not fits or source == to:
        return table
    (h, w), n = source, offsets(source)
    layers = []
    for one in table.reshape(-1, *table.shape[-2:]):
        cells = one[:n].reshape(2 * h - 1, 2 * w - 1, -1)
        moved = np.asarray(resample(cells, (2 * to[0] - 1, 2 * to[1] - 1)))
        layers.append(np.concatenate([moved.reshape(-1, one.shape[-1]), one[n:]]))
    return np.stack(layers).reshape(*table.shape[:-2], *layers[0].shape)


def fixed(table: np.ndarray, grid: Grid | None) -> str | None:
    """Whether a table (1, class + h·w, D) is that of sines, with "rows" or "columns" first.

    grid: of the table where it is no square.  None: it is another one, a learned one.
    """
    rows, width = table.shape[1:]
    shape = grid if grid and 0 <= rows - grid[0] * grid[1] <= 1 else _square(rows)
    first = rows - shape[0] * shape[1] if shape else 2
    if first > 1 or width % 4:
        return None
    ours = np.pad(np.asarray(geometry.sincos(shape, width)), ((first, 0), (0, 0)))
    for kind, sines in (("rows", ours), ("columns", np.roll(ours, width // 2, -1))):
        if np.abs(table[0] - sines).max() < CLOSE:
            return kind
    return None


# Which axis of a leaf is the residual stream; leaves of heads and hidden layers have none.
STREAM = (
    ("cls_token", -1),
    ("mask_token", -1),
    ("reg_token", -1),
    ("pos_embed", -1),
    ("patch_embed/kernel", -1),
    ("patch_embed/bias", -1),
    ("embed/kernel", -1),
    ("embed/bias", -1),
    ("scale", -1),
    ("norm1/bias", -1),
    ("norm2/bias", -1),
    ("norm/bias", -1),
    ("norm_pre/bias", -1),
    ("gamma", -1),
    ("qkv/kernel", -2),
    ("fc1/kernel", -2),
    ("w12/kernel", -2),
    ("head/kernel", -2),
    ("proj/kernel", -1),
    ("proj/bias", -1),
    ("fc2/kernel", -1),
    ("fc2/bias", -1),
    ("w3/kernel", -1),
    ("w3/bias", -1),
)


def renumbered(params: Mapping[str, np.ndarray]) -> Flat:
    """The same network with the halves of its residual stream swapped, an exact symmetry.

    A table of sines that codes columns first (MAE) is ours, which codes rows first, with its
    halves swapped; so is everything else that reads or writes the stream.
    """
    return {path: _swapped(path, leaf) for path, leaf in params.items()}


def reading_swapped(params: Mapping[str, np.ndarray]) -> Flat:
    """A decoder behind an encoder that was `renumbered`: its first layer reads swapped halves."""
    first = "embed/kernel"
    if first not in params:
        return dict(params)
    return {**params, first: np.roll(params[first], params[first].shape[-2] // 2, -2)}


def predicting_swapped(params: Mapping[str, np.ndarray]) -> Flat:
    """A decoder of the channels of such an encoder: its last layer makes them in its order."""
    own = {path: params[path] for path in ("head/kernel", "head/bias")}
    return {**params, **{path: np.roll(x, x.shape[-1] // 2, -1) for path, x in own.items()}}


def _swapped(path, leaf):
    for name, axis in STREAM:
        if path == name or path.endswith("/" + name):
            return np.roll(leaf, leaf.shape[axis] // 2, axis)
    return leaf


def _by(shape):
    return "x".join(map(str, shape))
