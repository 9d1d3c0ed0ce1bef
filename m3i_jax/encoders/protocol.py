"""What every encoder of images is to those who call it, and the little that all of them share."""

from typing import Protocol, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32

from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers


@runtime_checkable
class ImageEncoder(Protocol):
    """A Linen module from images to codes on a grid.

    kind: "image".  size: (height, width) of the images in pixels.
    patch: side in pixels of a cell of the code.  grid: (rows, columns) of cells.
    features: width of the code.
    masking: what it does with hidden cells, "drop" or "mask"; "" = it must see every pixel.
    An encoder with batch norms says `has_batch_stats = True` and takes `batch_stats`.
    """

    kind: str

    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def patch(self) -> int: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def features(self) -> int: ...  # noqa: D102
    @property
    def masking(self) -> str: ...  # noqa: D102

    def example(self) -> Float[Array, "1 height width 3"]:
        """A batch of one, for tracing."""

    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""

    def __call__(
        self,
        images: Float[Array, "batch height width 3"],
        *,
        visible: Bool[Array, "batch rows columns"] | None = None,
        keep: int | None = None,
        train: bool = False,
        layers: ObserveLayers = False,
        attention: ObserveAttention = False,
    ) -> Features:
        """Codes of normalised images (B, H, W, 3), seen through a mask (B, h, w).

        layers, attention: True adds those of every block to the Features. A function is called with
        the tokens (B, n, D), class token first, or with the `Scores` of each block, and what it
        returns is kept instead.
        """


def sides(image: int | tuple) -> tuple[int, int]:
    """(height, width) of images that a field `image` describes, by one side or by both."""
    return (image, image) if isinstance(image, int) else tuple(image)


def blank(size: tuple[int, int]) -> Float32[Array, "1 height width 3"]:
    """One black image."""
    return jnp.zeros((1, *size, 3), jnp.float32)
