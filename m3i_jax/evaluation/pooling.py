"""One vector per image out of an encoder's tokens: which tokens, of which blocks."""

from collections.abc import Callable

import jax.numpy as jnp

from m3i_jax.build import ConfigError
from m3i_jax.types import Array, Features

POOLS = ("mean", "cls", "both", "tokens")


def pooled(
    features: Features,
    pool: str,
    *,
    blocks: int = 1,
    norm: Callable[[Array], Array] = lambda x: x,
) -> Array:
    """One vector per image, (B, D') float32, or the patch tokens, (B, n, D').

    With more than one block, what each of the last ones has is put side by side, the last block
    last; "both" has the class tokens of all of them and then the mean of the last one alone, as
    DINOv2's linear evaluation (Oquab et al. 2024, App. B.3, https://arxiv.org/abs/2304.07193).

    Args:
      features: what an image encoder returned; with its `layers` for more than one block.
      pool: "mean" of the patch tokens (SiameseIM, M3I), "cls", the class token (MAE), "both", or
        "tokens", all of them; docs/methods.md#linear-probe.
      blocks: of how many last ones.
      norm: the encoder's own last norm, which the outputs of its other blocks get, too.

    Raises:
      ConfigError: another way of pooling, or one that this encoder has no tokens for.
    """
    if pool not in POOLS:
        raise ConfigError(f"cannot pool features by '{pool}'; expected one of {', '.join(POOLS)}")
    parts = []
    if pool in ("cls", "both"):
        parts += _each(features.pooled, features.layers_pooled, blocks, norm, "class token", "mean")
    if pool in ("mean", "tokens", "both"):
        count = 1 if pool == "both" else blocks
        tokens = _each(features.tokens, features.layers, count, norm, "patch tokens", "cls")
        parts += tokens if pool == "tokens" else [x.mean(1) for x in tokens]
    return jnp.concatenate(parts, axis=-1)


def _each(last, layers, blocks, norm, what, other) -> list[Array]:
    """What the last blocks have, in float32; the last one's behind the encoder's own norm."""
    if last is None:
        raise ConfigError(f"the encoder has no {what}; pool by '{other}' instead")
    if blocks == 1:
        return [jnp.asarray(last, jnp.float32)]
    there = 0 if layers is None else len(layers)
    if not 1 <= blocks <= there:
        raise ConfigError(
            f"the {what} of {blocks} blocks are wanted, and the encoder gives those of {there}"
        )
    before = [norm(jnp.asarray(layers[i], jnp.float32)) for i in range(there - blocks, there - 1)]
    return [*before, jnp.asarray(last, jnp.float32)]
