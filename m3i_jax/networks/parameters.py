"""The first parameters of a network; each module's depend on its own name alone."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from m3i_jax.build import ConfigError
from m3i_jax.encoders import shared
from m3i_jax.networks.heads import Heads, as_features, geometry_for
from m3i_jax.networks.towers import place
from m3i_jax.types import Array, Features

Params = dict[str, Any]


def initial(
    key: Array,
    modules: dict[str, nn.Module],
    shares: Mapping[str, int],
    heads: Heads,
    mapped: Mapping[str, Callable[[Features], Features]],
) -> Params:
    """Parameters of every module, from a key of its own: fold_in(key, crc32(path)).

    mapped: by tower of whose maps heads read, what gives its features these.
    """
    # Only shapes pass between modules here: a compiler drops all but the parameters, and under
    # `eval_shape` not even those are computed.
    seen, encoders, predicted, decoders = {}, {}, {}, {}
    for name, module in modules.items():
        # Heads of several layers need them; for all others they are shapes that nobody reads.
        options = {"layers": True} if module.kind == "image" else {}
        own = _made(key, f"encoders/{name}", module, module.example(), **options)
        seen[name], encoders[name] = own
        seen[name] = mapped[name](seen[name]) if name in mapped else seen[name]

    def zeros_of(name):
        """Zeros like what tower or decoder `name` makes."""
        if name in modules:
            return _zeros(seen[name])
        visit(name)
        return _zeros(as_features(predicted[name], example(name)[0]))

    def example(name):
        """What decoder `name` is called with."""
        geometry = geometry_for(heads.modules[name], _example_geometry(modules, heads, name))
        return zeros_of(heads.inputs[name]), geometry

    def visit(name):
        """Makes decoder `name`, after whatever feeds it."""
        if name not in decoders:
            x, geometry = example(name)
            own = _made(key, f"decoders/{name}", heads.modules[name], x, **geometry)
            predicted[name], decoders[name] = own

    for name in heads.modules:
        visit(name)
    # Made like any other, then without the blocks that are the encoder's: their initial values do
    # not depend on what is shared.
    encoders |= {name: shared.own(encoders[name], count) for name, count in shares.items()}
    return {"encoders": encoders, "decoders": {name: decoders[name] for name in heads.modules}}


def _made(key, path, module, x, **options):
    """What a module returns, and its parameters."""
    # By its path: adding a module, or leaving one out, changes no other's initial values.
    key = jax.random.fold_in(key, zlib.crc32(path.encode()))
    # Not `lazy_init`: it traces a second time what is traced here anyway.
    returned, variables = module.init_with_output({"params": key}, x, **options)
    return returned, variables.get("params", {})


def _zeros(features: Features) -> Features:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), features)


def _example_geometry(modules, heads, name):
    """Static geometry of the tower at the end of the decoder's chain of inputs."""
    source = heads.inputs[name]
    # Heads keep the cells of what they are given, so the grid is that of the tower in front.
    while source not in modules:
        source = heads.inputs[source]
    grid = modules[source].grid
    if grid is None and geometry_for(heads.modules[name], {"grid": None}):
        raise ConfigError(f"config.decoders.{name} works on a grid, but {place(source)} has none")
    example = modules[source].example()
    size = example.shape[1:3] if modules[source].kind == "image" else None
    known = {"grid": grid, "target_grid": grid, "size": size}
    said = ("source", "target", "cells", "words", "extent", "objects")
    return dict.fromkeys(said) | known
