"""Four maps, of strides 4, 8, 16 and 32, as heads of queries read: an encoder's, or a pyramid's."""

from typing import Annotated

from jax.typing import DTypeLike

from m3i_jax.build import ConfigError
from m3i_jax.heads.maps import Maps, every
from m3i_jax.heads.pyramid import SimplePyramid
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.texts import OneOf
from m3i_jax.types import Features

MAPS = 4
MADE = ("none", "simple")
Pyramid = Annotated[str, OneOf(*MADE)]


def check_queries(what: str, *, width: int, heads: int, dtype: str, pyramid: str) -> None:
    """Refuses options that heads of queries have in common, and no such head can have.

    Raises:
      ConfigError: an unknown one, or a width that cannot be shared out among the heads of attention
        and the waves of positions.
    """
    check_choice(what, "dtype", dtype, DTYPES)
    check_choice(what, "pyramid", pyramid, MADE)
    if width % heads or width % 4:
        raise ConfigError(
            f"{what} has width {width} and {heads} heads; expected a multiple of the heads, and of "
            "4, as positions have a sine and a cosine of two axes"
        )


def four(x: Features, pyramid: str, *, width: int, dtype: DTypeLike, what: str) -> Maps:
    """Four maps, finest first, each smaller than the one before it, in a compact method.

    Args:
      x: features with maps.
      pyramid: "none", these are the maps; "simple", the last of them, of a plain ViT, is made into
        four (`SimplePyramid`, below `pyramid`).
      width: of a pyramid.
      dtype: of its products.
      what: who reads them, for the error.

    Raises:
      ConfigError: there are more or fewer, or one is not smaller.
    """
    if pyramid == "simple":
        made = SimplePyramid(width, dtype=dtype, name="pyramid")(x)
        x = Features(maps=made[:MAPS])
    maps = every(x, what=what)
    sizes = [y.shape[1:3] for y in maps]
    falling = all(
        n < m or n == m == 1
        for before, after in zip(sizes, sizes[1:], strict=False)
        for m, n in zip(before, after, strict=True)
    )
    if len(maps) != MAPS or not falling:
        raise ConfigError(
            f"{what} gets maps of {', '.join(f'{m}x{n}' for m, n in sizes)} cells; expected {MAPS} "
            "maps, each smaller than the one before it, as of strides 4, 8, 16 and 32; of a ViT, "
            "whose maps are of one size, pyramid 'simple' makes them"
        )
    return maps
