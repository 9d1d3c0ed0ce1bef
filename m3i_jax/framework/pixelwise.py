"""P̂ of what is said of pixels: the map that a head predicts beside categories, depth, key points.

Heads predict maps (B, h, w, D) that may be smaller than the view; categories and depth are compared
at the size of the view, to which the map is resized bilinearly, key points at that of the map.
"""

import jax.numpy as jnp
from jaxtyping import Float

from m3i_jax import geometry, heatmaps, losses
from m3i_jax.framework.distributions import Distribution, Target
from m3i_jax.types import Array


def pixel_categories(*, named: bool = False) -> Distribution:
    """Boltzmann over the categories of every pixel; what nobody has named (255) is not scored.

    named: the mean is over the named pixels of the batch; else over all, where others are 0.
    """

    def score(logits: Float[Array, "batch rows columns classes"], target: Target):
        said = target.target_index
        logits = geometry.bilinear(logits, said.shape[1:])
        return losses.pixel_cross_entropy(logits, said, valid=named)

    about = dict(batchwise=named, dense=False, candidates="categories")
    return Distribution("Boltzmann", score, **about)


def pixel_depth(*, variance: float = 0.5) -> Distribution:
    """Gaussian over logarithms of depth whose common shift is forgiven in part: SiLog.

    variance: λ of √(mean d² − λ (mean d)²).
    """

    def score(depth: Float[Array, "batch rows columns 1"], target: Target):
        said = target.map[..., 0]
        depth = geometry.bilinear(depth, said.shape[1:])[..., 0]
        loss = losses.silog(depth, said, said > 0, variance=variance)
        return jnp.broadcast_to(loss, said.shape[:1])  # of the batch, not of a row

    return Distribution("log-Gaussian", score, batchwise=True, dense=False)


def heat_maps(*, sigma: float = 2.0) -> Distribution:
    """Gaussian around the heat maps of the joints; those that nobody has labelled are not scored.

    sigma: of a joint's map, in its cells.
    """

    def score(maps: Float[Array, "batch rows columns joints"], target: Target):
        cells = maps.shape[1:3]
        # From shares of the way between the middles of the outermost pixels, or cells, to cells.
        scale = jnp.array([[[cells[0] - 1, cells[1] - 1, 1]]], jnp.float32)
        points = target.tokens * scale + jnp.array([[[0.5, 0.5, 0.0]]])
        said = heatmaps.encode(points, cells, crop=cells, sigma=sigma)
        return losses.heatmap(maps, said.maps, said.weights)

    return Distribution("Gaussian", score, dense=False)
