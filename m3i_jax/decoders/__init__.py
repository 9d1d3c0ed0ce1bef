"""Decoders ψ: from the code of the input to a prediction of the code of the target, by name."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from flax import linen as nn

from m3i_jax.build import build, call, choose, lookup, said_of
from m3i_jax.decoders.branch import ClassBranch
from m3i_jax.decoders.caption import Caption
from m3i_jax.decoders.clusters import Clusters
from m3i_jax.decoders.dalle import DalleDecoder
from m3i_jax.decoders.dense import DenseHeads
from m3i_jax.decoders.latent import Latent
from m3i_jax.decoders.linear import LinearHead, MlpHead
from m3i_jax.decoders.map_head import MAPHead
from m3i_jax.decoders.pooling import AttentionPool, Pooled
from m3i_jax.decoders.predictor import Predictor
from m3i_jax.decoders.prompt import Prompt
from m3i_jax.decoders.prototypes import Prototypes
from m3i_jax.decoders.transformer import Infill, Projector, Query
from m3i_jax.heads import HEADS

_DECODERS = {
    "linear": LinearHead,
    "mlp": MlpHead,
    "prototypes": Prototypes,
    "dense_heads": DenseHeads,
    "attention_pool": AttentionPool,
    "map_head": MAPHead,
    "pooled": Pooled,
    "infill": Infill,
    "prompt": Prompt,
    "predictor": Predictor,
    "latent": Latent,
    "query": Query,
    "projector": Projector,
    "class_branch": ClassBranch,
    "caption": Caption,
    "clusters": Clusters,
    "dalle_decoder": DalleDecoder,
    **HEADS,
}


def names() -> tuple[str, ...]:
    """Names that a decoder block may have."""
    return tuple(sorted(_DECODERS))


class Node(Protocol):
    """A tower or a head, as a decoder that reads it has to know it."""

    width: int
    depth: int


def variant(name: str) -> Callable:
    """The module of the decoder called `name`."""
    return lookup(_DECODERS, name, what="decoder")


def create(
    block: Mapping[str, Any],
    *,
    what: str = "decoder",
    others: Iterable[str] = (),
    make: Callable = call,
    source: Node | None = None,
    **given: Any,
) -> nn.Module:
    """The Linen module of a block `{name, **kwargs}`; `given` are fields the block may not set.

    source: the tower or head that it reads, with `width` and `depth`, where that is known.

    Raises:
      ConfigError: for an unknown name or option, naming the nearest, and for sizes that do not
        fit together.
    """
    # `parent` and `name` are fields of every Linen module, and no options of a decoder.
    fields = dict(parent=None, name=None, **given)
    module = build(_DECODERS, block, what=what, others=others, make=make, **fields)
    with said_of(what):
        module.check()
        if source is not None and hasattr(module, "check_input"):
            module.check_input(width=source.width, depth=source.depth)
    return module


def is_head(block: Mapping[str, Any], *, what: str = "decoder") -> bool:
    """Whether a block makes features of a width of its own, not what a term asks for."""
    kind, _ = choose(_DECODERS, block, what=what)
    return "out" in block or not _lacks(kind, "out")


def _lacks(kind: type[nn.Module], field: str) -> bool:
    """Whether a module cannot be made without being told this field."""
    declared = kind.__dataclass_fields__.get(field)
    return declared is not None and declared.default is dataclasses.MISSING
