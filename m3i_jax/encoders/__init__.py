"""Encoders: image and text transformers and the class table, by name.

>>> encoders.create("vit_s16", image=192, dtype="bfloat16")
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flax import linen as nn

from m3i_jax import build
from m3i_jax.build import call, lookup, said_of
from m3i_jax.encoders import dalle, internimage, replknet, resnet, swin, table, text, vit

_VARIANTS = vit.VARIANTS | text.VARIANTS | table.VARIANTS | swin.VARIANTS
_VARIANTS |= resnet.VARIANTS | replknet.VARIANTS
_VARIANTS |= internimage.VARIANTS | dalle.VARIANTS

# Whose layers say where their operands are on a mesh with an axis `tensor` (`parallel/tensor.py`).
SPLIT = frozenset(vit.VARIANTS | text.VARIANTS | table.VARIANTS)


def names() -> tuple[str, ...]:
    """Names that `create` knows."""
    return tuple(sorted(_VARIANTS))


def variant(name: str) -> Callable:
    """What the encoder called `name` is built by, its fields as keywords."""
    return lookup(_VARIANTS, name, what="encoder")


def accepts(name: str, key: str) -> bool:
    """Whether the encoder called `name` has an option `key`."""
    return key in inspect.signature(variant(name)).parameters


def choose(block: Mapping[str, Any], *, what: str) -> tuple[Callable, dict[str, Any]]:
    """The encoder that a block names, and the rest of the block."""
    return build.choose(_VARIANTS, block, what=what)


def create(
    name: str,
    /,
    *,
    what: str = "",
    others: Iterable[str] = (),
    make: Callable = call,
    **overrides: Any,
) -> nn.Module:
    """The Linen module of the encoder called `name`, with any of its fields overridden.

    what: how to name the block in errors, such as `config.encoder`.
    others: keys that a block has beside them, of which one may be misspelt.
    make: `build.call`; `build.made` for fields that have been checked.

    Raises:
      ConfigError: for an unknown name or option, naming the nearest, and for sizes that do not
        fit together.
    """
    kind = variant(name)
    overrides = {key: _hashable(x) for key, x in overrides.items()}
    # `parent` and `name` are fields of every Linen module, and no options of an encoder.
    ours = dict(others=others, parent=None, name=None)
    module = make(kind, overrides, what=what or f"encoder '{name}'", **ours)
    with said_of(what):
        module.check()
    return module


def _hashable(value: Any) -> Any:
    """Tuples of lists, as a module is to be hashed, and JSON has only lists."""
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value
