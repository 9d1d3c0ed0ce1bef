"""Networks: encoders and decoders, seen from outside as pure functions over plain dicts.

Nothing above this file knows that there is Flax. Parameters are
{"encoders": {tower: ...}, "decoders": {name: ...}}, nested dicts of float32 arrays.
"""

import functools
import math
import zlib
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Key

from m3i_jax import decoders as decoding
from m3i_jax import encoders as encoding
from m3i_jax.build import ConfigError, call, nearest
from m3i_jax.encoders import shared
from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers

Params = dict[str, Any]


class Tower(NamedTuple):
    """An encoder, or a feature head, seen from outside; grid and patch are those of its images.

    kind: "image", "text", "table" or "head".
    masking: what it does with hidden cells, "drop" or "mask"; "" = it must see every pixel.
    stride: pixels that divide the sides of the images.  depth: blocks whose outputs it can return.
    """

    width: int
    grid: Grid | None
    patch: int | None
    kind: str
    masking: str = ""
    stride: int = 1
    depth: int = 0


class Network(NamedTuple):
    """Pure functions over parameters; everything but arrays is static.

    init: (key) -> params. Each module's depend on its own name only; runs under `eval_shape`.
    encode: (params, tower, data, *, visible, keep, train, batch_stats, key, layers, attention) ->
      Features; `train` drops paths, `batch_stats` (None = as `train`): norms by the batch, which
      so many passes of the step move, this one included. `layers` and `attention` add those of
      every block, or what a function makes of each, see `encoders.protocol.ImageEncoder`.
    decode: (params, name, x, *, grid, source, target, target_grid, train, key) -> (B, L, out)
      from dense decoders, (B, out) from pooled ones.
    refine: (params, name, x, *, grid, train, key) -> Features, decoder `name` as a feature head.
    towers, decoders: what there is.
    nodes: the towers, and the heads whose own width is known: where a code may come from.
    batchwise: towers and decoders whose output couples the samples of a batch (batch norm).
    untracked: decoders among them that do so in every pass, as they keep no running statistics.
    """

    init: Callable[[Key[Array, ""]], Params]
    encode: Callable[..., Features]
    decode: Callable[..., Float[Array, "*positions dim"]]
    refine: Callable[..., Features]
    towers: dict[str, Tower]
    decoders: tuple[str, ...]
    batchwise: frozenset[str]
    untracked: frozenset[str]
    nodes: dict[str, Tower]


class Heads(NamedTuple):
    """Decoder modules, the tower or head whose features each is made for, and all nodes."""

    modules: dict[str, nn.Module]
    inputs: dict[str, str]
    nodes: dict[str, Tower]


def build(
    encoder: Mapping[str, Any],
    towers: Mapping[str, Any],
    decoders: Mapping[str, Any],
    *,
    image: int,
    dtype: str,
    out: Mapping[str, int] | Callable[[str, dict[str, Tower]], int | None],
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
      make: `build.call`; `build.made` for blocks that have been checked.

    Raises:
      ConfigError: for whatever no network can be built from.
    """
    blocks = {"image": encoder, **towers}
    if "image" in towers:
        raise ConfigError(
            "config.towers.image is config.encoder; a further tower needs another name"
        )
    if "shares" in encoder:
        raise ConfigError(
            "config.encoder.shares: the encoder shares no blocks; a further tower may share its own"
        )
    filling = {"image": image, "dtype": dtype}
    modules = {name: _encoder(name, block, filling, make) for name, block in blocks.items()}
    shares = {name: block["shares"] for name, block in blocks.items() if block.get("shares")}
    for name, count in shares.items():
        shared.check(name, modules[name], modules["image"], count)
    records = {name: _tower(module) for name, module in modules.items()}
    width = out if callable(out) else lambda name, nodes: out.get(name)
    heads = _heads(decoders, records, dtype=dtype, width=width, make=make)
    coupling = {n for n, module in modules.items() if getattr(module, "has_batch_stats", False)}
    norms = {n: getattr(module, "norm", "") for n, module in heads.modules.items()}
    coupling |= {n for n, norm in norms.items() if norm in ("batch", "running")}
    return Network(
        # Traced once, whoever asks for shapes or values.
        init=jax.jit(lambda key: _init(key, modules, shares, heads), inline=True),
        encode=functools.partial(_encode, modules, shares),
        decode=functools.partial(_decode, heads.modules),
        refine=functools.partial(_refine, heads.modules),
        towers=records,
        decoders=tuple(heads.modules),
        batchwise=frozenset(coupling),
        untracked=frozenset(n for n, norm in norms.items() if norm == "batch"),
        nodes=heads.nodes,
    )


def _tower(module: nn.Module) -> Tower:
    """What is seen of an encoder from outside."""
    masking, patch = getattr(module, "masking", ""), module.patch
    stride = math.lcm(patch or 1, getattr(module, "stride", 1))
    depth = getattr(module, "depth", 0) or sum(getattr(module, "depths", ()))
    return Tower(module.features, module.grid, patch, module.kind, masking, stride, depth)


def _encoder(
    tower: str, block: Mapping[str, Any], filling: Mapping[str, Any], make: Callable
) -> nn.Module:
    """Module of a tower; `filling` is for the options that it has and its block leaves open."""
    what = _block(tower)
    _, kwargs = encoding.choose(block, what=what)
    name = block["name"]
    kwargs = {k: v for k, v in filling.items() if encoding.accepts(name, k)} | kwargs
    kwargs.pop("shares", None)
    return encoding.create(name, what=what, others=("shares",), make=make, **kwargs)


def _block(tower: str) -> str:
    """Where a config describes a tower."""
    return "config.encoder" if tower == "image" else f"config.towers.{tower}"


def _heads(blocks, towers, *, dtype, width, make) -> Heads:
    """Modules of all decoders, feature heads first, as the others may predict what they make."""
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
    nodes, modules = dict(towers), {}

    def create(name, **more):
        kwargs = {k: v for k, v in blocks[name].items() if k != "input"}
        more |= {"dtype": dtype} if "dtype" not in kwargs else {}
        more |= {"what": f"config.decoders.{name}", "others": ("input",)}
        more |= {"source": nodes.get(inputs[name])}
        modules[name] = decoding.create(kwargs, make=make, **more)

    def visit(name):
        """Creates feature head `name`, after the one that feeds it."""
        if name in modules or not decoding.is_head(blocks[name], what=f"config.decoders.{name}"):
            return
        visit(inputs[name]) if inputs[name] not in towers else None
        create(name)
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


def _named_alike(name: str, block: Mapping[str, Any]) -> str:
    """Why a feature head may not be called as a tower is."""
    if "out" in block:
        return (
            f"config.decoders.{name}.out is {block['out']}, but how wide a prediction is the "
            f"objective says: leave it out, or take another name than the tower's for a head"
        )
    return f"config.decoders.{name}, a head, has the name of a tower; rename one of them"


def _init(
    key: Array, modules: dict[str, nn.Module], shares: Mapping[str, int], heads: Heads
) -> Params:
    """Parameters of every module, from a key of its own: fold_in(key, crc32(path))."""
    # Only shapes pass between modules here: nothing is computed but the parameters themselves, and
    # under `eval_shape` not even those.
    encoders, decoders = {}, {}
    for name, module in modules.items():
        encoders[name] = _parameters(key, f"encoders/{name}", module, module.example())

    @functools.cache  # a module that feeds others is traced once; one that feeds none, never
    def made(name):
        """Zeros like what tower or decoder `name` makes."""
        if module := modules.get(name):
            # Heads of several layers need them; for all others they are shapes that nobody reads.
            how = {"layers": True} if module.kind == "image" else {}
            return _zeros(_shapes(module, encoders[name], module.example(), **how))
        x, how = example(name)
        return _zeros(_features(_shapes(heads.modules[name], visit(name), x, **how), x))

    def example(name):
        """What decoder `name` is called with."""
        how = _geometry_for(heads.modules[name], _example_geometry(modules, heads, name))
        return made(heads.inputs[name]), how

    def visit(name):
        """Parameters of decoder `name`, made after whatever feeds it."""
        if name not in decoders:
            x, how = example(name)
            decoders[name] = _parameters(key, f"decoders/{name}", heads.modules[name], x, **how)
        return decoders[name]

    for name in heads.modules:
        visit(name)
    # Made like any other, then without the blocks that are the encoder's: their initial values do
    # not depend on what is shared.
    encoders |= {name: shared.own(encoders[name], count) for name, count in shares.items()}
    return {"encoders": encoders, "decoders": {name: decoders[name] for name in heads.modules}}


def _shapes(module, params, x, **how):
    """What a module returns, without computing it."""
    return jax.eval_shape(lambda p, x: module.apply({"params": p}, x, **how), params, x)


def _parameters(key, path, module, x, **how):
    # By its path: adding a module, or leaving one out, changes no other's initial values.
    key = jax.random.fold_in(key, zlib.crc32(path.encode()))
    return module.lazy_init({"params": key}, x, **how).get("params", {})


def _zeros(features: Features) -> Features:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), features)


def _example_geometry(modules, heads, name):
    """Static geometry of the tower at the end of the decoder's chain of inputs."""
    source = heads.inputs[name]
    # Heads keep the cells of what they are given, so the grid is that of the tower in front.
    while source not in modules:
        source = heads.inputs[source]
    grid = modules[source].grid
    if grid is None and _geometry_for(heads.modules[name], {"grid": None}):
        raise ConfigError(f"config.decoders.{name} works on a grid, but {_block(source)} has none")
    return {"grid": grid, "source": None, "target": None, "target_grid": grid}


def _geometry_for(module, how):
    """The part of the geometry that a decoder is called with; pooled ones ignore it."""
    return {k: how[k] for k in module.geometry_inputs if k in how}


def _weights(params: Params, tower: str, shares: Mapping[str, int]) -> Params:
    """All parameters of a tower, those in common with the encoder included."""
    if tower not in shares:
        return params["encoders"][tower]
    if "image" not in params["encoders"]:
        raise ConfigError(
            f"{_block(tower)} has its first blocks in common with the encoder, so it cannot have "
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
    module, how = modules[tower], {}
    # Only images have cells to hide: a text would ignore a mask in silence.
    if module.kind == "image":
        how = dict(visible=visible, keep=keep, layers=layers, attention=attention)
    elif visible is not None or layers or attention:
        raise ValueError(f"tower '{tower}' is a {module.kind}: it has no cells, layers or maps")
    if getattr(module, "has_batch_stats", False):
        batch_stats = int(train) if batch_stats is None else batch_stats
        how["batch_stats"] = 0 if tower in settled else batch_stats
    if train and key is None and getattr(module, "drop_path", 0.0):
        raise ValueError(f"training tower '{tower}' with drop path needs a key")
    rngs = None if key is None else {"droppath": key}
    params = {"params": _weights(params, tower, shares)}
    return module.apply(params, data, train=train, rngs=rngs, **how)


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
    train: bool = False,
    key: Array | None = None,
) -> Array:
    """See `Network.decode`."""
    module = _head(modules, name)
    geometry = {"grid": grid, "source": source, "target": target, "target_grid": target_grid}
    how = _geometry_for(module, geometry)
    return module.apply({"params": params["decoders"][name]}, x, train=train, **how)


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
    how = _geometry_for(module, {"grid": grid})
    y = module.apply({"params": params["decoders"][name]}, x, train=train, **how)
    return _features(y, x)


def _features(y: Features | Array, x: Features) -> Features:
    """A head's result as features of the same cells as x."""
    if isinstance(y, Features):
        return y
    # (B, D) is pooled; (B, n, D) are tokens of the cells that x had.
    return Features(pooled=y) if y.ndim == 2 else Features(tokens=y, index=x.index)


def _head(modules: dict[str, nn.Module], name: str) -> nn.Module:
    if name not in modules:
        raise ValueError(f"the network has no decoder '{name}'{nearest(name, modules)}")
    return modules[name]
