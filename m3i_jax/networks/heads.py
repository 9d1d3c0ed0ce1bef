"""Heads: the decoders of a network, each made for the tower or the feature head that feeds it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import linen as nn

from m3i_jax import decoders
from m3i_jax.build import ConfigError, nearest
from m3i_jax.networks.towers import Tower
from m3i_jax.types import Array, Features


class Heads(NamedTuple):
    """Decoder modules, the tower or head whose features each is made for, and all nodes."""

    modules: dict[str, nn.Module]
    inputs: dict[str, str]
    nodes: dict[str, Tower]


def head_modules(
    blocks: Mapping[str, Mapping[str, Any]],
    towers: Mapping[str, Tower],
    *,
    dtype: str,
    width: Callable[[str, dict[str, Tower]], int | None],
    make: Callable,
) -> Heads:
    """Modules of all decoders, feature heads first, as the others may predict what they make."""
    inputs = _inputs(blocks, towers)
    nodes, modules = dict(towers), {}

    def create(name, **more):
        kwargs = {k: v for k, v in blocks[name].items() if k != "input"}
        more |= {"dtype": dtype} if "dtype" not in kwargs else {}
        more |= {"what": f"config.decoders.{name}", "others": ("input",)}
        # What feeds it: its width, and the cells that a decoder of a grid works on.
        more |= {"source": nodes.get(inputs[name])}
        modules[name] = decoders.create(kwargs, make=make, **more)

    def visit(name):
        """Creates feature head `name`, after the one that feeds it."""
        if name in modules or not decoders.is_head(blocks[name], what=f"config.decoders.{name}"):
            return
        visit(inputs[name]) if inputs[name] not in towers else None
        create(name)
        # A decoder that is no feature head has been made by nobody yet, as its width is what it
        # predicts; so nothing can follow it.
        before = nodes.get(inputs[name])
        if before is None:
            raise ConfigError(
                f"config.decoders.{name} follows config.decoders.{inputs[name]}, which has no 'out'"
            )
        if name in towers:
            raise ConfigError(_named_alike(name, blocks[name]))
        # A projector says how wide it is; dense heads are as wide as what they are given.
        own = getattr(modules[name], "out", 0) or getattr(modules[name], "width", 0)
        nodes[name] = Tower(own or before.width, before.grid, None, "head")

    for name in blocks:
        visit(name)
    for name in blocks:
        if name in modules:
            continue
        # All heads are there by now, so the width of any code that may be predicted is known.
        predicted = width(name, nodes)
        if predicted is None:
            raise ConfigError(
                f"config.decoders.{name} predicts nothing: no term of the objective uses it; "
                "a feature head states its own 'out'"
            )
        create(name, out=predicted)
    return Heads({name: modules[name] for name in blocks}, inputs, nodes)


def _inputs(blocks: Mapping[str, Mapping[str, Any]], towers: Mapping[str, Tower]) -> dict[str, str]:
    """What feeds each decoder: chains of them that all end at a tower."""
    inputs = {name: str(block.get("input", "image")) for name, block in blocks.items()}
    for name, source in inputs.items():
        # Follow the inputs to a tower; a name that is met twice would be followed for ever.
        chain = [name]
        while source not in towers:
            if source not in inputs:
                known = nearest(str(source), [*towers, *inputs])
                raise ConfigError(f"config.decoders.{name} has unknown input '{source}'{known}")
            if source in chain:
                raise ConfigError(f"decoders feed each other: {' <- '.join([*chain, source])}")
            chain.append(source)
            source = inputs[source]
    return inputs


def geometry_for(module: nn.Module, geometry: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the geometry that a decoder is called with; pooled ones ignore it."""
    return {k: geometry[k] for k in module.geometry_inputs if k in geometry}


def as_features(y: Features | Array, x: Features) -> Features:
    """A head's result as features of the same cells as x."""
    if isinstance(y, Features):
        return y
    # (B, D) is pooled; (B, n, D) are tokens of the cells that x had.
    return Features(pooled=y) if y.ndim == 2 else Features(tokens=y, index=x.index)


def _named_alike(name: str, block: Mapping[str, Any]) -> str:
    """Why a feature head may not be called as a tower is."""
    if "out" in block:
        return (
            f"config.decoders.{name}.out is {block['out']}, but how wide a prediction is the "
            f"objective says: leave it out, or take another name than the tower's for a head"
        )
    return f"config.decoders.{name}, a head, has the name of a tower; rename one of them"
