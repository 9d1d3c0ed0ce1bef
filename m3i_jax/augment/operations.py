"""RandAugment on the device: each sample its own operations, and no other is paid for.

    m ~ N(magnitude, deviation) clipped to [0, 10],   amount = weakest + (strongest − weakest) m/10

Cubuk et al. 2020, https://arxiv.org/abs/1909.13719, with timm's 15 operations (`amounts`), which
`data/views/rand_augment.py` has on the host, from Pillow: the same, but for one level of 256 in
some pixels of moved images and of stretched contrast. Images are whole levels, 0 to 255, before
and after every operation, as Pillow's are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32, Int32, Key, Real

from m3i_jax.augment.affine import affine, rotation
from m3i_jax.augment.amounts import AMOUNTS, GROUND, HALF, LARGEST, Draws, Magnitude
from m3i_jax.augment.gating import ByRows, at_once, only
from m3i_jax.ranges import Share
from m3i_jax.types import Array

NAMES = tuple(AMOUNTS)
PIXELWISE = tuple(
    "auto_contrast invert posterize solarize solarize_add color contrast brightness".split()
)
MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
LEVELS = 256
NOTHING = -1  # the operation of a draw that is not used
Levels = Float32[Array, "batch height width 3"]  # whole numbers from 0 to 255


class Changes(NamedTuple):
    """One operation for each sample: its place in `AMOUNTS`, −1 = none, and how much of it."""

    operation: Int32[Array, " batch"]
    amount: Float32[Array, " batch"]


def rand_augment(
    key: Key[Array, ""],
    images: Real[Array, "batch height width 3"],
    *,
    magnitude: Magnitude = 9.0,
    deviation: Magnitude = 0.5,
    operations: Draws = 2,
    probability: Share = 0.5,
    by_rows: ByRows = at_once,
) -> Float32[Array, "batch height width 3"]:
    """`operations` draws of the 15, the same one again possible, each used or not.

    Args:
      key: one key for the batch; every sample draws for itself.
      images: (B, H, W, 3) in [0, 1], as is the result; both are whole levels of 255.
      magnitude, deviation: mean and standard deviation of the magnitude, drawn each time.
      operations: number of draws.
      probability: that a drawn operation is used.
      by_rows: see `gating.only`.
    """
    settings = dict(magnitude=magnitude, deviation=deviation, probability=probability)

    def change(number, x):  # a loop: the operations are compiled once
        drawn = draw(jax.random.fold_in(key, number), x.shape[0], **settings)
        return apply(x, drawn, by_rows=by_rows)

    levels = jnp.round(jnp.asarray(images, jnp.float32) * 255.0)
    return jax.lax.fori_loop(0, operations, change, levels) / 255.0


def draw(
    key: Key[Array, ""],
    batch: int,
    *,
    magnitude: Magnitude = 9.0,
    deviation: Magnitude = 0.5,
    probability: Share = 0.5,
) -> Changes:
    """One change for each of `batch` samples."""
    keys = jax.random.split(key, 4)
    operation = jax.random.randint(keys[0], (batch,), 0, len(NAMES))
    used = jax.random.bernoulli(keys[1], float(probability), (batch,))
    m = magnitude + deviation * jax.random.normal(keys[2], (batch,))
    weakest, strongest = (
        jnp.array([amount[i] for amount in AMOUNTS.values()], jnp.float32) for i in (0, 1)
    )
    signed = jnp.array([amount.signed for amount in AMOUNTS.values()])[operation]
    low, high = weakest[operation], strongest[operation]
    amount = low + (high - low) * jnp.clip(m, 0.0, LARGEST) / LARGEST
    negative = signed & jax.random.bernoulli(keys[3], 0.5, (batch,))
    return Changes(jnp.where(used, operation, NOTHING), jnp.where(negative, -amount, amount))


def apply(x: Levels, changes: Changes, *, by_rows: ByRows = at_once) -> Levels:
    """Every sample after its change; one that has none, or another, does not pay for it."""
    operation, amount = changes
    matrices = _matrices(changes, height=x.shape[1], width=x.shape[2])
    x = only(_one_of(operation, PIXELWISE), _pixelwise, x, operation, amount, by_rows=by_rows)
    x = only(_one_of(operation, ("equalize",)), _equalized, x, by_rows=by_rows)
    x = only(_one_of(operation, ("sharpness",)), _sharpened, x, amount, by_rows=by_rows)
    return only(_one_of(operation, MOVES), _moved, x, matrices, by_rows=by_rows)


def _one_of(operation: Int32[Array, " batch"], names: tuple[str, ...]) -> Bool[Array, " batch"]:
    return jnp.stack([operation == NAMES.index(name) for name in names]).any(0)


def _pixelwise(
    x: Levels, operation: Int32[Array, " batch"], amount: Float32[Array, " batch"]
) -> Levels:
    """Operations that look at a pixel, and at a number or two of the whole image."""
    operation, amount = (part[:, None, None, None] for part in (operation, amount))
    low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
    # Fractions are 1/255 or more: half of that keeps whole numbers from being rounded down.
    stretched = jnp.floor((x - low) * 255.0 / jnp.maximum(high - low, 1.0) + 1 / 512)
    kept = 2.0 ** (8.0 - jnp.ceil(amount))
    gray = _gray(x)
    mean = jnp.floor(gray.mean((1, 2), keepdims=True) + 0.5)
    results = {
        "auto_contrast": jnp.where(high > low, stretched, x),
        "invert": 255.0 - x,
        "posterize": x - x % kept,
        "solarize": jnp.where(x >= jnp.ceil(amount), 255.0 - x, x),
        "solarize_add": jnp.where(x < HALF, jnp.minimum(x + jnp.floor(amount), 255.0), x),
        "color": _blend(x, gray, amount),
        "contrast": _blend(x, mean, amount),
        "brightness": _blend(x, jnp.zeros_like(mean), amount),
    }
    for name, changed in results.items():
        x = jnp.where(operation == NAMES.index(name), changed, x)
    return x


def _blend(x: Levels, base: Array, amount: Array) -> Levels:
    """⌊(1 + amount) x − amount · base⌋ within the levels."""
    return jnp.floor(jnp.clip(base + (1.0 + amount) * (x - base), 0.0, 255.0))


def _gray(x: Levels) -> Float32[Array, "batch height width 1"]:
    """ITU-R 601's grey in whole levels, .299 R + .587 G + .114 B, added up in 65536ths."""
    red, green, blue = (x[..., i : i + 1].astype(jnp.int32) for i in range(3))
    return ((19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16).astype(jnp.float32)


def _equalized(x: Levels) -> Levels:
    """A level becomes 255 times the share of the pixels that are darker, in whole steps."""
    levels = x.astype(jnp.int32)

    def channel(levels):
        counts = jnp.zeros(LEVELS, jnp.int32).at[levels.ravel()].add(1)
        brightest = counts[levels.max()]
        step = (levels.size - brightest) // (LEVELS - 1)
        darker = jnp.cumsum(counts) - counts
        table = jnp.clip((step // 2 + darker) // jnp.maximum(step, 1), 0, LEVELS - 1)
        return jnp.where(step > 0, table[levels], levels)

    return jax.vmap(jax.vmap(channel, -1, -1))(levels).astype(jnp.float32)


def _sharpened(x: Levels, amount: Real[Array, " batch"]) -> Levels:
    """Away from, or towards, the mean of 3 × 3 pixels of which the middle one counts five times."""
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    inner = x[:, 1:-1, 1:-1]
    smooth = jnp.floor((around + 4.0 * inner) / 13.0 + 0.5)
    # Pixels of the border have no neighbours, and stay.
    return _blend(x, x.at[:, 1:-1, 1:-1].set(smooth), amount[:, None, None, None])


def _moved(x: Levels, matrices: Real[Array, "batch 2 3"]) -> Levels:
    return jnp.floor(jnp.clip(affine(x, matrices, ground=GROUND), 0.0, 255.0))


def _matrices(changes: Changes, *, height: int, width: int) -> Float32[Array, "batch 2 3"]:
    """Where a moved image shows what, see `affine`; the identity for other operations."""
    amount = changes.amount
    still = jnp.broadcast_to(jnp.eye(2, 3), (len(amount), 2, 3))
    chosen = lambda name: (changes.operation == NAMES.index(name))[:, None, None]  # noqa: E731
    turned = rotation(amount, height=height, width=width)
    matrices = jnp.where(chosen("rotate"), turned, still)
    for name, row, column, unit in (
        ("shear_x", 0, 1, 1.0),
        ("shear_y", 1, 0, 1.0),
        ("translate_x", 0, 2, width),
        ("translate_y", 1, 2, height),
    ):
        matrices = jnp.where(chosen(name), still.at[:, row, column].set(amount * unit), matrices)
    return matrices
