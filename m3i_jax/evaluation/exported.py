"""What a run says of images, beside the encoder of an export: label table, text tower, heads.

So an export answers what its run answers: without fine-tuning, zero-shot, retrieval, and which
category, how far or which joint a pixel is. The encoder is in the names of others; this is in ours,
in a file of its own.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from m3i_jax import ordinary, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.evaluation import terms
from m3i_jax.evaluation.dense.predictor import VIEWS, of_method
from m3i_jax.evaluation.models import Model
from m3i_jax.interop import files, importing
from m3i_jax.interop.rename import nested
from m3i_jax.training import reading
from m3i_jax.training.assemble import build_network, objective
from m3i_jax.training.config import Config
from m3i_jax.training.inputs import TOKENIZER

FILE = "told.safetensors"
PLACE = re.compile(r"(?<![\w:/.~])(?:~\w*|\.{1,2})?/[^'\",;(){}=]*")  # from a root or a home on
RUN, CLASSES = "run", "classes"  # of config.json's m3i_jax


def pairs(model: Model) -> list[terms.Pair]:
    """By what a run tells images, as far as its branch keeps it; of parts of a run by nothing."""
    if not _whole(model):
        return []
    method = objective(model.config)
    each = (terms.pair(method, view) for view in ("label", "text"))
    own = {*model.config.decoders}  # an encoder with blocks taken out has none
    known = (pair for pair in each if pair and pair.decoder in own)
    return [pair for pair in known if not terms.lacking(model.network, model.params, pair)]


def dense_heads(model: Model) -> list[str]:
    """The heads by which a run says something of pixels, as far as its branch keeps them."""
    if not _whole(model):
        return []
    given = objective(model.config), model.network, model.params
    heads = [one.decoder for view in VIEWS if (one := of_method(*given, view)) is not None]
    return [name for name in dict.fromkeys(heads) if name in model.params.get("decoders", {})]


def _whole(model: Model) -> bool:
    """Whether it is a run with the encoder that it has trained, and not a part of it."""
    whole = model.config is not None and model.workdir is not None
    return whole and model.block == weights.block(model.config, "image")


def described(model: Model) -> dict[str, Any]:
    """What config.json has to say of the run, so that it can be told by: {} where by nothing."""
    if not pairs(model) and not dense_heads(model):
        return {}
    said = {RUN: without_places(json.loads(json.dumps(model.config.to_dict())))}
    try:
        classes = reading.read(model.config, model.workdir, split="train").classes
    except ConfigError:  # the data are not here: the table is, and whoever has the data knows
        classes = ()
    return said | ({CLASSES: list(classes)} if classes else {})


def without_places(said: Any) -> Any:
    """Plain data in which paths of this machine are their last names: an export is for others."""
    if isinstance(said, Mapping):
        return {key: without_places(value) for key, value in said.items()}
    if isinstance(said, list | tuple):
        return [without_places(value) for value in said]
    return PLACE.sub(lambda path: Path(path[0]).name, said) if isinstance(said, str) else said


def write(folder: str | os.PathLike, model: Model) -> bool:
    """Writes towers and heads of `pairs`, `dense_heads`, and the tokenizer; whether anything was.

    Raises:
      OSError: a file cannot be written.
    """
    told = pairs(model)
    wanted = {("encoders", pair.tower) for pair in told}
    wanted |= {("decoders", name) for pair in told for name in (*pair.heads, pair.decoder)}
    wanted |= {("decoders", name) for name in dense_heads(model)}
    state = {
        f"{kind}/{name}/{path}": np.asarray(x, order="C")
        for kind, name in sorted(wanted)
        for path, x in trees.named_leaves(model.params.get(kind, {}).get(name, {}))
    }
    if not state:
        return False
    ordinary.written(Path(folder) / FILE, save(state, metadata={"format": "pt"}))
    tokenizer = model.workdir / TOKENIZER
    if tokenizer.is_file():
        shutil.copyfile(tokenizer, Path(folder) / TOKENIZER)
    return True


def with_told(model: Model) -> Model:
    """A model of an export with what tells its images; of other files the model itself.

    Raises:
      ConfigError: config.json or the file is none of ours.
    """
    folder = Path(model.name)
    folder = folder if folder.is_dir() else folder.parent
    own = files.beside(folder, files.CONFIG).get("m3i_jax")
    if not isinstance(own, Mapping) or RUN not in own or not (folder / FILE).is_file():
        return model
    config = _config(own[RUN], folder)
    encoder = {key: x for key, x in model.block.items() if key not in ("name", "image")}
    plain = {**config.to_dict(), "image": model.image, "dtype": "float32"}
    plain["encoder"] = {"name": model.block["name"], **encoder}
    config = Config.of(plain)
    network = build_network(config, objective(config))
    told = nested(importing.read(folder / FILE).params)
    told.setdefault("encoders", {})["image"] = model.params["encoders"]["image"]
    classes = tuple(str(name) for name in own.get(CLASSES, ()))
    return model._replace(network=network, params=told, config=config, classes=classes)


def _config(said: Any, folder: Path) -> Config:
    """The config of a run, as a file says it."""
    if not isinstance(said, Mapping):
        raise ConfigError(f"'{folder / files.CONFIG}' says of its run {json.dumps(said)[:40]}")
    return Config.of(dict(said))
