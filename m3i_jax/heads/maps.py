"""Maps of an encoder, as heads read them: one, all, or some side by side."""

from collections.abc import Sequence
from typing import Annotated

import jax.numpy as jnp
from jaxtyping import Float

from m3i_jax import geometry
from m3i_jax.build import ConfigError
from m3i_jax.ranges import Range
from m3i_jax.types import Array, Features

MOST = 64
# Of a map among those that a head is given; negative ones count from the last.
MapNumber = Annotated[int, Range(-MOST, MOST - 1)]
Maps = tuple[Float[Array, "batch _rows _columns _dim"], ...]


def every(x: Features, *, what: str) -> Maps:
    """All maps (B, h, w, D) that features have.

    what: who reads them, for the error.

    Raises:
      ConfigError: there are none.
    """
    if not x.maps:
        raise ConfigError(
            f"{what} reads maps of an encoder, but gets none: let it follow an encoder of images "
            "whose maps the objective asks for"
        )
    return x.maps


def one(x: Features, number: int, *, what: str) -> Float[Array, "batch rows columns dim"]:
    """The map of this number, negative ones counted from the last.

    Raises:
      ConfigError: there is no such map.
    """
    maps = every(x, what=what)
    count = len(maps)
    if not -count <= number < count:
        raise ConfigError(
            f"{what} reads map {number} of {count}; expected a number from {-count} to {count - 1}"
        )
    return maps[number]


def joined(
    x: Features, numbers: Sequence[int], *, what: str
) -> Float[Array, "batch rows columns dim"]:
    """The maps of these numbers at the size of the largest, channels side by side, float32.

    Raises:
      ConfigError: there is no such map.
    """
    maps = [one(x, number, what=what) for number in numbers]
    grid = max((y.shape[1:3] for y in maps), key=lambda size: size[0] * size[1])
    return jnp.concatenate([geometry.bilinear(y, grid) for y in maps], axis=-1)
