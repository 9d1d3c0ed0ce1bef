"""Networks: pure functions over parameters, closed over the modules of encoders and decoders."""

import functools
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Key

from m3i_jax import geometry
from m3i_jax.build import ConfigError, call, nearest
from m3i_jax.encoders import shared
from m3i_jax.geometry.maps import Blocks
from m3i_jax.networks.heads import as_features, geometry_for, head_modules
from m3i_jax.networks.parameters import Params, initial
from m3i_jax.networks.towers import Tower, described, encoder_module, place
from m3i_jax.types import Array, Features, Grid, Objects, ObserveAttention, ObserveLayers


class Network(NamedTuple):
    """Pure functions over parameters; everything but arrays is static.

    init: (key) -> params. Each module's depend on its own name only; runs under `eval_shape`.
    encode: (params, tower, data, *, visible, keep, train, batch_stats, key, layers, attention) ->
      Features; `train` drops paths, `batch_stats` (None = as `train`): norms by the batch, which
      so many passes of the step move, this one included. `layers` and `attention` add those of
      every block, or what a function makes of each, see `encoders.protocol.ImageEncoder`.
    decode: (params, name, x, *, grid, source, target, target_grid, cells, words, size, extent,
      objects, train, key) -> (B, L, out) from dense decoders, of `cells` (B, m) alone where some
      are asked for; (B, out) from pooled ones; a record of arrays from those that find objects,
      which see `size`, height and width of the images in pixels, `extent` (B, 2), how much of that
      is image and no padding (None = all), and `objects`, by which they learn.
    refine: (params, name, x, *, grid, train, key) -> Features, decoder `name` as a feature head.
    towers, decoders: what there is.
    nodes: the towers, and the heads whose own width is known: where a code may come from.
    batchwise: towers and decoders whose output couples the samples of a batch (batch norm).
    untracked: decoders among them that do so in every pass, as they keep no running statistics.
    """

    init: Callable[[Key[Array, ""]], Params]
    encode: Callable[..., Features]
    decode: Callable[..., Any]
    refine: Callable[..., Features]
    towers: dict[str, Tower]
    decoders: tuple[str, ...]
    batchwise: frozenset[str]
    untracked: frozenset[str]
    nodes: dict[str, Tower]


def build(
    encoder: Mapping[str, Any],
    towers: Mapping[str, Any],
    decoders: Mapping[str, Any],
    *,
    image: int,
    dtype: str,
    out: Mapping[str, int] | Callable[[str, dict[str, Tower]], int | None],
    maps: Mapping[str, Blocks] = MappingProxyType({}),
    make: Callable = call,
) -> Network:
    """Builds a network from blocks of plain data `{name, **kwargs}`.

    Args:
      encoder: block of the tower "image", see `encoders.create`.
      towers: blocks of further towers by name: "text", "category", ... A block's extra key
        `shares` is the number of first blocks that are those of the encoder, see `shared`.
      decoders: blocks by name, see `decoders.create`. A block's extra key `input` names what
        feeds it: a tower ("image" if left out), or a feature head. A block that states its own
        `out` is a feature head; so are the kinds that need none (projector, dense_heads, ...).
      image: side of the images, for towers that look at them.
      dtype: of matrix products.
      out: width of every other decoder's result, by name, or as a function of the name and the
        nodes.
      maps: {tower: behind which blocks heads read maps}, see `geometry.numbered`.
      make: `build.call`; `build.made` for blocks that have been checked.

    Raises:
      ConfigError: for whatever no network can be built from.
    """
    _check_names(encoder, towers)
    blocks = {"image": encoder, **towers}
    filling = {"image": image, "dtype": dtype}
    modules = {name: encoder_module(name, block, filling, make) for name, block in blocks.items()}
    shares = {name: block["shares"] for name, block in blocks.items() if block.get("shares")}
    for name, count in shares.items():
        shared.check(name, modules[name], modules["image"], count)
    records = {name: described(module) for name, module in modules.items()}
    # A function, where what is predicted may be a head that is only made below.
    width = out if callable(out) else lambda name, nodes: out.get(name)
    heads = head_modules(decoders, records, dtype=dtype, width=width, make=make)
    mapped = {name: _mapping(modules[name], records[name], blocks) for name, blocks in maps.items()}
    # Whose samples a batch norm couples decides which passes may be joined (`framework.passes`):
    # what is joined would be normalised together.
    coupling = {n for n, module in modules.items() if getattr(module, "has_batch_stats", False)}
    # "batch" goes by the batch in every pass, "running" by its statistics where nothing is trained.
    norms = {n: getattr(module, "norm", "") for n, module in heads.modules.items()}
    coupling |= {n for n, norm in norms.items() if norm in ("batch", "running")}
    return Network(
        # Traced once, whoever asks for shapes or values.
        init=jax.jit(lambda key: initial(key, modules, shares, heads, mapped), inline=True),
        encode=functools.partial(_encode, modules, shares),
        decode=functools.partial(_decode, heads.modules),
        refine=functools.partial(_refine, heads.modules),
        towers=records,
        decoders=tuple(heads.modules),
        batchwise=frozenset(coupling),
        untracked=frozenset(n for n, norm in norms.items() if norm == "batch"),
        nodes=heads.nodes,
    )


def _check_names(encoder: Mapping[str, Any], towers: Mapping[str, Any]) -> None:
    """Refuses blocks of towers that say what only the encoder, or only a tower, can say."""
    if "image" in towers:
        raise ConfigError(
            "config.towers.image is config.encoder; a further tower needs another name"
        )
    if "shares" in encoder:
        raise ConfigError(
            "config.encoder.shares: the encoder shares no blocks; a further tower may share its own"
        )


def _mapping(module: Any, tower: Tower, blocks: Blocks) -> Callable[[Features], Features]:
    """What gives features of the example of a tower their maps."""
    numbers = geometry.numbered(blocks, tower.depths)
    size = module.example().shape[1:3]
    return lambda features: geometry.mapped(features, numbers, strides=tower.strides, size=size)


def _weights(params: Params, tower: str, shares: Mapping[str, int]) -> Params:
    """All parameters of a tower, those in common with the encoder included."""
    if tower not in shares:
        return params["encoders"][tower]
    # Joined here, at every call, and kept once: so the blocks in common get both gradients, and no
    # second copy can drift away from the first.
    if "image" not in params["encoders"]:
        raise ConfigError(
            f"{place(tower)} has its first blocks in common with the encoder, so it cannot have "
            "weights of its own: it is no teacher, and no tokenizer"
        )
    return shared.whole(params["encoders"][tower], params["encoders"]["image"], shares[tower])


def _encode(
    modules,
    shares: Mapping[str, int],
    params: Params,
    tower: str,
    data: Array,
    *,
    visible: Array | None = None,
    keep: int | None = None,
    train: bool = False,
    batch_stats: int | None = None,
    key: Array | None = None,
    layers: ObserveLayers = False,
    attention: ObserveAttention = False,
    settled: Collection[str] = (),
) -> Features:
    """See `Network.encode`; settled: towers whose norms never go by the batch."""
    if tower not in modules:
        raise ValueError(f"the network has no tower '{tower}'{nearest(tower, modules)}")
    module, options = modules[tower], {}
    # Only images have cells to hide: a text would ignore a mask in silence.
    if module.kind == "image":
        options = dict(visible=visible, keep=keep, layers=layers, attention=attention)
    elif visible is not None or layers or attention:
        raise ValueError(f"tower '{tower}' is a {module.kind}: it has no cells, layers or maps")
    if getattr(module, "has_batch_stats", False):
        # A number of passes, not a flag: an earlier pass fades by the momentum of those that follow
        # it (`nn.norms.TrackedBatchNorm`).
        batch_stats = int(train) if batch_stats is None else batch_stats
        options["batch_stats"] = 0 if tower in settled else batch_stats
    if train and key is None and getattr(module, "drop_path", 0.0):
        raise ValueError(f"training tower '{tower}' with drop path needs a key")
    rngs = None if key is None else {"droppath": key}
    params = {"params": _weights(params, tower, shares)}
    return module.apply(params, data, train=train, rngs=rngs, **options)


def _decode(
    modules,
    params: Params,
    name: str,
    x: Features,
    *,
    grid: Grid | None = None,
    source: Any = None,
    target: Any = None,
    target_grid: Grid | None = None,
    cells: Array | None = None,
    words: Array | None = None,
    size: tuple[int, int] | None = None,
    extent: Array | None = None,
    objects: Objects | None = None,
    train: bool = False,
    key: Array | None = None,
) -> Any:
    """See `Network.decode`."""
    module = _head(modules, name)
    geometry = {"grid": grid, "source": source, "target": target, "target_grid": target_grid}
    geometry |= {"cells": cells, "words": words, "size": size, "extent": extent, "objects": objects}
    geometry = geometry_for(module, geometry)
    rngs = None if key is None else {"draw": key}
    weights = {"params": _head_weights(params, name)}
    y = module.apply(weights, x, train=train, rngs=rngs, **geometry)
    if cells is None or "cells" in geometry:
        return y
    return jnp.take_along_axis(y, cells[..., None], axis=1, mode="clip")


def _refine(
    modules,
    params: Params,
    name: str,
    x: Features,
    *,
    grid: Grid | None = None,
    train: bool = False,
    key: Array | None = None,
) -> Features:
    """See `Network.refine`."""
    module = _head(modules, name)
    geometry = geometry_for(module, {"grid": grid})
    y = module.apply({"params": _head_weights(params, name)}, x, train=train, **geometry)
    return as_features(y, x)


def _head(modules: dict[str, nn.Module], name: str) -> nn.Module:
    if name not in modules:
        raise ValueError(f"the network has no decoder '{name}'{nearest(name, modules)}")
    return modules[name]


def _head_weights(params: Params, name: str) -> Params:
    """Those of a head; none of one without parameters, of which files and averages keep nothing."""
    return params.get("decoders", {}).get(name, {})
