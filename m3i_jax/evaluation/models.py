"""What is evaluated: an encoder of a work directory, of a file, the same untrained, or pixels."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import networks, normalize, trees
from m3i_jax.build import ConfigError, nearest
from m3i_jax.checkpoints import place, weights
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data import sources
from m3i_jax.interop import beside, importing, layouts
from m3i_jax.interop.importing import Imported
from m3i_jax.interop.rename import nested
from m3i_jax.training import branches
from m3i_jax.training.assemble import build_network, objective
from m3i_jax.training.config import Config
from m3i_jax.types import Array, Features

LOG = logging.getLogger(__name__)
PIXELS = "pixels"  # branch of the baseline that has no encoder
ENCODER = "encoders/image/"


class Model(NamedTuple):
    """An encoder of images, or none, and where it is from.

    name: in tables.
    branch: "ema" or "online" of a run, "file", "untrained", or "pixels".
    image: side of the images that it sees, in pixels; 0 = that of the data's own, of raw pixels.
    network: whose tower "image" it is, None = raw pixels.
    params: of the branch, as much of the network as that branch keeps.
    block: `{name, **kwargs}` of the encoder.
    pool: how its features are usually pooled, see `pooling`.
    workdir, config: of the run that it is of; an export has the config alone.  step: of its
      checkpoint.
    classes: names of those that its own table is of, where no data says them.
    note: what a user of this branch should know.
    end: token that ends the texts of a file whose tokenizer does not say so.
    crop: share of the short side of an image that it is meant to see; None = nobody says.
    """

    name: str
    branch: str
    image: int
    network: networks.Network | None = None
    params: Any = None
    block: Mapping[str, Any] = {}
    pool: str = "mean"
    workdir: Path | None = None
    config: Config | None = None
    step: int = 0
    note: str = ""
    classes: tuple[str, ...] = ()
    end: str | None = None
    crop: float | None = None


def encode(model: Model, params: Any, images: Array, **options: Any) -> Features:
    """What the encoder makes of (B, H, W, 3) uint8 images, normalised as it expects them.

    options: `layers` and the like, of `Network.encode`.
    """
    return model.network.encode(params, "image", normalize.levels(images), **options)


def module(model: Model) -> Any:
    """The encoder of a model without its weights.

    Raises:
      ConfigError: raw pixels have none.
    """
    if model.network is None:
        raise ConfigError("raw pixels have no encoder, and so no blocks")
    return beside.create(model.block)


def last_norm(model: Model, params: Any, x: Array) -> Array:
    """The norm behind the last block of a ViT, of (..., D); of other encoders nothing happens."""
    norm = params["encoders"]["image"].get("norm")
    eps = getattr(beside.create(model.block), "eps", None)
    if norm is None or eps is None or norm["scale"].shape != x.shape[-1:]:
        return x
    scale, bias = (jnp.broadcast_to(norm[name], x.shape) for name in ("scale", "bias"))
    return normalize.layer(x, eps=eps) * scale + bias


def has_class_token(model: Model) -> bool:
    """Whether the first token of a block is a class token."""
    return bool(getattr(beside.create(model.block), "class_token", False))


def tokens_in_front(model: Model) -> int:
    """How many tokens of a block are in front of those of the patches: class token, registers."""
    registers = getattr(beside.create(model.block), "registers", 0)
    return int(has_class_token(model)) + registers


def digest(model: Model) -> str:
    """Of everything that decides what the model computes: its weights, and the block of each part.

    Two models with the same digest are the same; "" of raw pixels, which have no weights.
    """
    if model.network is None:
        return ""
    parts = [f"{path} {np.shape(x)} {x.dtype}" for path, x in trees.named_leaves(model.params)]
    sha = hashlib.sha256("\n".join([repr(_described(model)), *parts]).encode())
    for _, leaf in trees.named_leaves(model.params):
        sha.update(np.asarray(leaf).tobytes())
    return sha.hexdigest()[:16]


def _described(model: Model) -> Any:
    """What is no weight: the blocks of the network, and the size of the images."""
    if model.config is None:
        return sorted(model.block.items()), model.image
    config = model.config
    parts = (config.encoder, config.towers, config.decoders, config.objective, config.target)
    return sorted(model.block.items()), parts, config.dtype, config.image


def restore(
    path: str | Path, *, branch: str = "ema", step: int | None = None, image: int | None = None
) -> Model:
    """Reads a work directory (its newest sound checkpoint, or `step`) or one checkpoint step.

    Args:
      path: WORKDIR, or WORKDIR/checkpoints/STEP.
      branch: "ema" or "online".
      step: which checkpoint of a work directory.
      image: side of the images that the encoder is to see, None = those it was trained on; tables
        of positions are resampled for it.

    Raises:
      ConfigError: there is no such directory, checkpoint or branch, or no such encoder.
    """
    path, kept, step = placed(path, branch=branch, step=step)
    step = kept.latest() if step is None else step
    if step is None:
        raise ConfigError(f"'{path}' has no sound checkpoint yet")
    meta = kept.meta(step)
    note = branches.advise(meta, branch=branch, step=step)
    config, params = Config.of(meta["config"]), kept.restore_item(step, branch)
    config, params = (config, params) if image is None else _resized(path, config, params, image)
    network = build_network(config, objective(config))
    block = weights.block(config, "image")
    name = f"{path}@{step}" + ("" if branch == "ema" else f"#{branch}")
    origin = dict(block=block, workdir=path, config=config, step=step, note=note)
    origin |= {"crop": sources.evaluation_ratio(config.data)}
    return Model(name, branch, config.image, network, params, **origin)


def placed(
    path: str | Path, *, branch: str = "ema", step: int | None = None
) -> tuple[Path, Checkpoints, int | None]:
    """The work directory of a path, its checkpoints, and which of them is meant; none is opened.

    step: of a work directory; None, there and here, = the newest sound one.

    Raises:
      ConfigError: there is no such directory, step or branch.
    """
    path, named = place.parted(path)
    step = step if named is None else named
    if branch not in weights.BRANCHES:
        hint = nearest(branch, weights.BRANCHES)
        raise ConfigError(f"a checkpoint has the branches ema and online, not '{branch}'{hint}")
    if not place.folder(path).is_dir():
        raise ConfigError(f"'{path}' has no checkpoints; expected the --workdir of a pretrain run")
    kept = Checkpoints(place.folder(path), read_only=True)
    there = kept.steps()
    if step is not None and step not in there:
        near = min(there, key=lambda other: abs(other - step), default=None)
        hint = f"; the nearest one is {near}" if near is not None else ""
        raise ConfigError(f"'{path}' has no checkpoint of step {step}{hint}")
    return path, kept, step


def _resized(path: Path, config: Config, params: Any, image: int) -> tuple[Config, Any]:
    """The config and the parameters of the same network for other images."""
    encoder = {key: x for key, x in config.encoder.items() if key != "image"}
    config = replace(config, image=image, encoder=encoder)
    network = build_network(config, objective(config))
    wanted = dict(trees.named_leaves(jax.eval_shape(network.init, jax.random.key(0))))
    flat, stated = dict(trees.named_leaves(params)), weights.stated(path, "image")
    imported = Imported(f"'{path}'", layouts.OWN, flat, (), stated)
    fitted, notes = importing.fitted(imported, wanted, grid=network.towers["image"].grid)
    own, theirs = (
        {p: x for p, x in leaves.items() if p.startswith(ENCODER)} for leaves in (fitted, wanted)
    )
    account = importing.report(own, theirs, notes=notes, what=imported.path)
    importing.complete(account, imported.layout, what=imported.path)
    for note in account.notes:
        LOG.info("%s for images of %d pixels: %s", path, image, note)
    # What predicts from another grid is left out: nobody evaluates it there.
    fits = {p: x for p, x in fitted.items() if p in wanted and x.shape == wanted[p].shape}
    return config, nested(fits)


def untrained(model: Model, *, seed: int | None = None) -> Model:
    """The same encoder with the parameters that it started from, or of another seed."""
    seed = (model.config.seed if model.config else 0) if seed is None else seed
    params = model.network.init(jax.random.key(seed))
    of = model.workdir or model.name or model.block.get("name", "")
    return model._replace(
        name=f"untrained:{of}", params=params, branch="untrained", step=0, note=""
    )


def fresh(block: Mapping[str, Any], *, seed: int = 0) -> Model:
    """An untrained encoder of a block `{name, **kwargs}`."""
    return untrained(of_block(block, params=None, name="", branch="untrained"), seed=seed)


def of_block(
    block: Mapping[str, Any], *, params: Any, name: str, branch: str, **fields: Any
) -> Model:
    """A model of an encoder without a run; fields: further ones of it.

    Raises:
      ConfigError: there is no such encoder, or its images are no squares.
    """
    module = beside.create(block)
    if module.kind != "image":
        raise ConfigError(f"'{block['name']}' is no encoder of images; only those are evaluated")
    height, width = module.size
    if height != width:
        raise ConfigError(
            f"{name or block['name']} sees images of {height}x{width}; expected squares: give "
            f"--image={height}"
        )
    network = networks.build(block, {}, {}, image=height, dtype="float32", out={})
    return Model(name, branch, height, network, params, block, **fields)


RAW = Model(PIXELS, PIXELS, 0)  # the baseline of no encoder at all


def pixels(model: Model) -> Model:
    """The baseline of no encoder at all, on the same data as a model, at its size."""
    return model._replace(
        name=PIXELS,
        network=None,
        params=None,
        branch=PIXELS,
        block={},
        pool="mean",
        step=0,
        note="",
    )


def chosen(
    path: str | Path, *, branch: str = "ema", step: int | None = None, baselines: bool = False
) -> list[Model]:
    """The encoder of `path`; with `baselines` also the same untrained, and the raw pixels."""
    model = restore(path, branch=branch, step=step)
    return with_baselines(model) if baselines else [model]


def with_baselines(model: Model) -> list[Model]:
    """The model, the same untrained, and the raw pixels."""
    return [model, untrained(model), pixels(model)]


def beside_baselines(
    compared: Iterable[Model], *, data: Callable[[Model], Any] = lambda model: None
) -> Iterator[Model]:
    """Every model, and behind it each of its baselines that was of no model before it.

    Encoders are the same that start from the same parameters, whatever is to train them. What
    stands for a model that cannot be read stays, and has none.
    data: what a model is measured on, as anything that compares.
    """
    seen = set()
    for model in compared:
        first, *baselines = with_baselines(model) if getattr(model, "network", None) else [model]
        yield first
        for one in baselines:
            key = (_start(one), one.image, one.pool, repr(data(model)))
            if key not in seen:
                seen.add(key)
                yield one


def _start(model: Model) -> str:
    """What an untrained encoder computes: by block, parameters and dtype; "" of raw pixels."""
    if model.network is None:
        return ""
    own = {"encoders": {"image": model.params["encoders"]["image"]}}
    dtype = model.config.dtype if model.config else "float32"
    return f"{digest(model._replace(params=own, config=None))} {dtype}"
