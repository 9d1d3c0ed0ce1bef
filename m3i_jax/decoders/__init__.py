"""Decoders ψ: from the code of the input to a prediction of the code of the target, by name."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from m3i_jax.build import build
from m3i_jax.decoders.linear import LinearHead, MlpHead
from m3i_jax.decoders.pooling import AttentionPool
from m3i_jax.decoders.transformer import Infill, Projector, Query

_DECODERS = {
    "linear": LinearHead,
    "mlp": MlpHead,
    "attention_pool": AttentionPool,
    "infill": Infill,
    "query": Query,
    "projector": Projector,
}


def names() -> tuple[str, ...]:
    """Names that a decoder block may have."""
    return tuple(sorted(_DECODERS))


def create(block: Mapping[str, Any], *, what: str = "decoder", **given: Any) -> nn.Module:
    """The Linen module of a block `{name, **kwargs}`; `given` are fields the block may not set.

    Raises:
      ConfigError: for an unknown name or option, naming the nearest, and for sizes that do not
        fit together.
    """
    # `parent` and `name` are fields of every Linen module, and no options of a decoder.
    module = build(_DECODERS, block, what=what, parent=None, name=None, **given)
    module.check()
    return module
