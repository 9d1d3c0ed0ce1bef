"""Mixing two images: who is mixed with whom, and how.

By a patch mask for M3I (docs/methods.md#mixed-images); by shares for fine-tuning
(docs/methods.md#mixup-and-cutmix).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32, Int, Int32, Key, Num, Shaped

from m3i_jax.types import Array

PER = ("batch", "row")  # what λ is drawn for


def partner(
    key: Key[Array, ""], batch: int, *, group: int | None = None
) -> Int32[Array, " {batch}"]:
    """Whom each row is mixed with: a random permutation without fixed points, (batch,) int32.

    σ = p ∘ (shift by s) ∘ p⁻¹ with p a uniform permutation and s uniform in 1..n−1, independently
    in every consecutive group of `group` rows (the whole batch by default). A row's partner is
    uniform among the others of its group. M3I §3.4, which shuffles within a device
    (docs/methods.md#mixed-images).

    Raises:
      ValueError: groups of one row, in which nobody has a partner, or that do not fill the batch.
    """
    size = _group_size(batch, group)
    if size == 1:
        what = "a batch of 1" if batch == 1 else "groups of 1"
        raise ValueError(f"{what} cannot be mixed: every image needs another one as its partner")
    groups = batch // size
    key_order, key_shift = jax.random.split(key)
    order = jnp.argsort(jax.random.uniform(key_order, (groups, size)), axis=1)
    shift = jax.random.randint(key_shift, (groups, 1), 1, size)
    place = jnp.argsort(order, axis=1)
    local = jnp.take_along_axis(order, (place + shift) % size, axis=1)
    first = jnp.arange(0, batch, size, dtype=jnp.int32)[:, None]
    return (local.astype(jnp.int32) + first).reshape(batch)


def take(
    x: Shaped[Array, " batch *shape"],
    permutation: Int[Array, " batch *shown"],
    *,
    group: int | None = None,
) -> Shaped[Array, " batch ..."]:
    """Rows x[permutation]: (B, ...), (B,) -> (B, ...); (B, k), k rows for each, -> (B, k, ...).

    With `group` the permutation stays within consecutive groups of that many rows, and so does
    the gather: where the groups lie within the shards of a batch-sharded array, the compiled
    program holds no collective at all (a plain gather costs an all-gather of the batch).
    """
    if group is None:
        return jnp.take(x, permutation, axis=0)
    size = _group_size(x.shape[0], group)
    # Modulo, so that groups cut out of a larger batch still find their rows.
    local = permutation.reshape(x.shape[0] // size, -1) % size
    grouped = x.reshape(-1, size, *x.shape[1:])
    index = local.reshape(*local.shape, *(1,) * (x.ndim - 1))
    taken = jnp.take_along_axis(grouped, index, axis=1)
    return taken.reshape(*permutation.shape, *x.shape[1:])


def invert(permutation: Int[Array, " batch"]) -> Int32[Array, " batch"]:
    """The permutation that undoes another: invert(σ)[σ[i]] = i; (B,) int32."""
    return jnp.argsort(permutation).astype(jnp.int32)


def mix(
    first: Shaped[Array, "batch height width channels"],
    second: Shaped[Array, "batch height width channels"],
    mask: Bool[Array, "batch rows columns"],
    patch: int,
) -> Shaped[Array, "batch height width channels"]:
    """m ⊙ first + (1 − m) ⊙ second, m constant on patches; exact, as pixels are chosen, not added.

    M3I (Su et al. 2023, §3.4, https://arxiv.org/abs/2211.09807).

    Args:
      first, second: (B, H, W, C).
      mask: (B, h, w) bool, True = first image.
      patch: side p of a patch in pixels, H = h·p and W = w·p.
    """
    b, height, width, c = first.shape
    h, w = mask.shape[1:]
    if (h * patch, w * patch) != (height, width):
        raise ValueError(
            f"a mask of {h}x{w} patches of {patch} pixels does not cover {height}x{width} pixels"
        )
    cells = (b, h, patch, w, patch, c)
    mixed = jnp.where(mask[:, :, None, :, None, None], first.reshape(cells), second.reshape(cells))
    return mixed.reshape(first.shape)


def mirrored(
    x: Shaped[Array, " batch *shape"], *, group: int | None = None
) -> Shaped[Array, " batch *shape"]:
    """Rows in opposite order within consecutive groups of `group` rows: (B, ...) -> (B, ...).

    timm's partners (docs/methods.md#mixup-and-cutmix). In the middle of an odd group a row meets
    itself.
    """
    size = _group_size(x.shape[0], group)
    return jnp.flip(x.reshape(-1, size, *x.shape[1:]), axis=1).reshape(x.shape)


def mixup(
    key: Key[Array, ""],
    first: Num[Array, "batch height width channels"],
    second: Num[Array, "batch height width channels"],
    *,
    alpha: float,
    per: str = "batch",
) -> tuple[Float32[Array, "batch height width channels"], Float32[Array, " batch"]]:
    """λ·first + (1 − λ)·second with λ ~ Beta(α, α), one per "batch" or per "row".

    (B, H, W, C) x 2 -> (B, H, W, C) float32 and λ (B,), the share of the first (Zhang et al. 2018,
    https://arxiv.org/abs/1710.09412).
    """
    batch = first.shape[0]
    share = jnp.broadcast_to(_shares(key, _draws(batch, per), alpha), (batch,))
    one, two = jnp.asarray(first, jnp.float32), jnp.asarray(second, jnp.float32)
    weight = share.reshape(-1, *(1,) * (first.ndim - 1))
    return weight * one + (1.0 - weight) * two, share


def cutmix(
    key: Key[Array, ""],
    first: Shaped[Array, "batch height width channels"],
    second: Shaped[Array, "batch height width channels"],
    *,
    alpha: float,
    per: str = "batch",
) -> tuple[Shaped[Array, "batch height width channels"], Float32[Array, " batch"]]:
    """The first image with a box of the second in the same place.

    λ ~ Beta(α, α); the box has the sides √(1 − λ) of the image's, rounded to even numbers of
    pixels towards 0, and its centre uniform on the image, which cuts off what sticks out. One box
    per "batch" or per "row" (Yun et al. 2019, Eq. 1 and 2, https://arxiv.org/abs/1905.04899).

    (B, H, W, C) x 2 -> (B, H, W, C) and (B,), the true share of the pixels that show the first.
    """
    batch, height, width = first.shape[:3]
    draws = _draws(batch, per)
    key_share, *key_centre = jax.random.split(key, 3)
    side = jnp.sqrt(1.0 - _shares(key_share, draws, alpha))

    def line(key, length):
        half = jnp.floor(length * side).astype(jnp.int32)[:, None] // 2
        centre = jax.random.randint(key, (draws, 1), 0, length)
        pixel = jnp.arange(length, dtype=jnp.int32)[None]
        return (pixel >= centre - half) & (pixel < centre + half)

    rows, columns = line(key_centre[0], height), line(key_centre[1], width)
    box = rows[:, :, None, None] & columns[:, None, :, None]
    share = 1.0 - rows.sum(1) * columns.sum(1) / (height * width)
    return jnp.where(box, second, first), jnp.broadcast_to(share, (batch,))


def _draws(batch: int, per: str) -> int:
    """How many shares and boxes are drawn."""
    if per not in PER:
        raise ValueError(f"images are mixed alike per 'batch' or per 'row', not per '{per}'")
    return batch if per == "row" else 1


def _shares(key: Key[Array, ""], count: int, alpha: float) -> Float32[Array, " {count}"]:
    """λ ~ Beta(α, α)."""
    if alpha <= 0:
        raise ValueError(f"the α of a Beta distribution is positive, not {alpha}")
    return jax.random.beta(key, alpha, alpha, (count,), jnp.float32)


def _group_size(batch: int, group: int | None) -> int:
    """Rows per group; refuses groups that do not fill the batch."""
    size = batch if group is None else group
    if size < 1 or batch % size:
        raise ValueError(f"groups of {size} rows do not fill a batch of {batch}")
    return size
