"""Images as sequences of square patches, and back."""

from jaxtyping import Shaped

from m3i_jax.types import Array, Grid


def patchify(
    images: Shaped[Array, "batch height width channels"], patch: int
) -> Shaped[Array, "batch tokens {patch}*{patch}*channels"]:
    """Cuts images into patches: (B, H, W, C) -> (B, h·w, p·p·C).

    Patches are in row-major order; inside one, pixels are in row-major order with the channel
    last, so a linear layer on them is a p x p convolution of stride p with an HWIO kernel.

    Raises:
      ValueError: the patch size does not divide the image.
    """
    b, height, width, c = images.shape
    if height % patch or width % patch:
        raise ValueError(f"images of {height}x{width} pixels do not divide into patches of {patch}")
    h, w = height // patch, width // patch
    cells = images.reshape(b, h, patch, w, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(b, h * w, patch * patch * c)


def unpatchify(
    patches: Shaped[Array, "batch tokens dim"], patch: int, grid: Grid
) -> Shaped[Array, "batch height width channels"]:
    """Inverse of `patchify`: (B, h·w, p·p·C) -> (B, H, W, C).

    Raises:
      ValueError: the patches do not fill the grid, or their width is not a multiple of p·p.
    """
    b, length, width = patches.shape
    h, w = grid
    if length != h * w:
        raise ValueError(f"{length} patches do not fill a grid of {h}x{w}")
    if width % patch**2:
        raise ValueError(f"patches of {width} values are not {patch}x{patch} pixels")
    c = width // patch**2
    cells = patches.reshape(b, h, w, patch, patch, c).transpose(0, 1, 3, 2, 4, 5)
    return cells.reshape(b, h * patch, w * patch, c)
