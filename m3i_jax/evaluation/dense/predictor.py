"""What a network says of every pixel of an image: an encoder, the maps behind it, and a head."""

from typing import Any, NamedTuple

from jaxtyping import Float

from m3i_jax import geometry
from m3i_jax.framework import Method
from m3i_jax.geometry.maps import Blocks
from m3i_jax.networks import Network
from m3i_jax.types import Array, Features

VIEWS = ("mask", "depth", "points")  # what may be said of pixels


class Predictor(NamedTuple):
    """A network of which one head says something of every pixel.

    params: of the network; those of the encoder and of the head are read.
    decoder: the head.   blocks: which maps of the encoder it reads, see `geometry.numbered`.
    """

    network: Network
    params: Any
    decoder: str
    blocks: Blocks

    @property
    def stride(self) -> int:
        """Pixels that have to divide the sides of the images."""
        return self.network.towers["image"].stride

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that the encoder was made for."""
        tower = self.network.towers["image"]
        rows, columns = tower.grid
        return rows * tower.patch, columns * tower.patch

    def seen(self, params: Any, images: Float[Array, "batch height width 3"]) -> Features:
        """What the encoder makes of normalised images, with the maps."""
        tower = self.network.towers["image"]
        numbers = geometry.numbered(self.blocks, tower.depths)
        layers = {"layers": True} if numbers else {}
        features = self.network.encode(params, "image", images, **layers)
        where = dict(strides=tower.strides, size=images.shape[1:3])
        return geometry.mapped(features, numbers, **where)._replace(layers=None)

    def said(
        self,
        params: Any,
        images: Float[Array, "batch height width 3"],
        *,
        extent: Float[Array, "batch 2"] | None = None,
    ) -> Any:
        """What the head says: (B, h, w, D) on its own grid, or the `Detections` that it finds.

        extent: height and width of what is image and no padding; None = all of it.
        """
        grid = self.network.towers["image"].grid
        how = dict(grid=grid, source=None, target=None, target_grid=grid)
        how |= dict(size=images.shape[1:3], extent=extent)
        return self.network.decode(params, self.decoder, self.seen(params, images), **how)


def of_method(method: Method, network: Network, params: Any, what: str) -> Predictor | None:
    """The head by which a method says this of an image, see `Method.says`; or None."""
    for term in method.terms.values():
        if method.says(method.codes[term.y].view) == what and term.decoder is not None:
            blocks = method.source_of(term.x)[1].encoder.maps
            return Predictor(network, params, term.decoder, blocks)
    return None
