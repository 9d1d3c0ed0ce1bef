"""What a block hands out beside its result: all of it, nothing, or what an observer makes of it."""

import jax
from jaxtyping import Float

from m3i_jax.types import Array, ObserveAttention, Observed, ObserveLayers, Scores


def kept(
    observe: ObserveLayers, x: Float[Array, "batch *cells dim"]
) -> Float[Array, "batch tokens dim"] | Observed | None:
    """Tokens (B, n, D) of a sequence or of a map (B, h, w, D), as they are asked for."""
    if not observe:
        return None
    tokens = x.reshape(x.shape[0], -1, x.shape[-1])
    return observe(tokens) if callable(observe) else tokens


def attended(
    observe: ObserveAttention, scores: Scores
) -> Float[Array, "*scores"] | Observed | None:
    """The weights of attention, softmax over the keys in float32, as they are asked for."""
    if callable(observe):
        return observe(scores)
    return jax.nn.softmax(scores.logits, axis=-1) if observe else None


def per_block(stacked: Observed, depth: int) -> tuple[Observed, ...]:
    """What `depth` scanned blocks kept, one of it for each block."""
    leaves, tree = jax.tree.flatten(stacked)
    return tuple(jax.tree.unflatten(tree, [leaf[i] for leaf in leaves]) for i in range(depth))
