"""Random keys by name: no hidden stream, and adding a name never changes another's draws."""

import zlib

import jax
from jaxtyping import Key

from m3i_jax.types import Array


def named(key: Key[Array, ""], name: str) -> Key[Array, ""]:
    """A key of its own for `name`; adding a name never changes another's key."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))
