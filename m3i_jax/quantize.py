"""Vector quantisation on the unit sphere: the numerics of VQ-KD's codebook.

BEiT v2 (Peng et al. 2022, §2.2, https://arxiv.org/abs/2208.06366); docs/methods.md#vq_kd.

A codebook is (K, d) unit vectors; codes are chosen by cosine. It learns not by gradients but as a
running mean of what chose it. All is float32 and global over sharded batches.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int, Int32, Key

from m3i_jax import normalize
from m3i_jax.types import Array


def nearest(
    z: Float[Array, "*positions dim"], codebook: Float[Array, "vocabulary dim"]
) -> Int32[Array, "*positions"]:
    """Code of largest cosine: (..., d), (K, d) -> (...) int32; the lower of equals."""
    # The length of z has no say in which is largest.
    z, codes = jnp.asarray(z, jnp.float32), normalize.unit(codebook)
    return jnp.argmax(jnp.matmul(z, codes.T, precision="highest"), axis=-1).astype(jnp.int32)


def straight_through(
    z: Float[Array, "*positions dim"], quantized: Float[Array, "*positions dim"]
) -> Float32[Array, "*positions dim"]:
    """The value of `quantized`, to the bit, with the gradient of z; (..., d), (..., d) -> (..., d).

    `quantized` itself gets no gradient (Bengio et al. 2013, https://arxiv.org/abs/1308.3432).
    """
    z = jnp.asarray(z, jnp.float32)
    quantized = jax.lax.stop_gradient(jnp.asarray(quantized, jnp.float32))
    return quantized + (z - jax.lax.stop_gradient(z))


def kmeans(
    key: Key[Array, ""],
    points: Float[Array, "*positions dim"],
    count: int,
    *,
    iterations: int = 10,
) -> Float32[Array, "{count} dim"]:
    """k-means by cosine, VQ-KD's first codebook: (..., d) -> (count, d) unit vectors.

    Centroids start at different points drawn uniformly; one that no point is nearest to stays.

    Raises:
      ValueError: fewer points than centroids.
    """
    points = normalize.unit(points).reshape(-1, points.shape[-1])
    if points.shape[0] < count:
        raise ValueError(
            f"{points.shape[0]} points cannot start {count} centroids: take a larger batch"
        )
    start = jax.random.choice(key, points, (count,), replace=False)

    def improve(_, centroids):
        mean, used = _directions(points, nearest(points, centroids), count)
        return jnp.where(used, mean, centroids)

    return jax.lax.fori_loop(0, iterations, improve, start)


def moved(
    codebook: Float[Array, "vocabulary dim"],
    z: Float[Array, "*positions dim"],
    index: Int[Array, "*positions"],
    *,
    decay: float = 0.99,
) -> Float32[Array, "vocabulary dim"]:
    """The codebook after a batch: unit(decay·code + (1 − decay)·unit(mean of what chose it)).

    Codes that nobody chose keep their value. Van den Oord et al. 2017, appendix A.1,
    https://arxiv.org/abs/1711.00937, on the sphere.

    Args:
      codebook: (K, d) unit vectors.
      z: (..., d), whose directions count.  index: (...) int, the code of each; −1 chose none.
    """
    codebook = jnp.asarray(codebook, jnp.float32)
    mean, used = _directions(normalize.unit(z), index, codebook.shape[0])
    return jnp.where(used, normalize.unit(decay * codebook + (1.0 - decay) * mean), codebook)


def _directions(
    z: Float32[Array, "*positions dim"], index: Int[Array, "*positions"], count: int
) -> tuple[Float32[Array, "{count} dim"], Bool[Array, "{count} 1"]]:
    """Mean direction of every cluster of unit vectors: (count, d), and whether it has one.

    A cluster that is empty, or whose members cancel, has none: (count, 1) bool.
    """
    # Negative numbers would count from the end.
    index = jnp.where(index < 0, count, index).reshape(-1)
    z = z.reshape(-1, z.shape[-1])
    total = jnp.zeros((count, z.shape[1]), jnp.float32).at[index].add(z, mode="drop")
    return normalize.unit(total), jnp.square(total).sum(-1, keepdims=True) > 1e-12
