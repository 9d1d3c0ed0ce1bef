"""A file of others as one of ours: the image encoder made to fit, whatever else is in it kept."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from m3i_jax import encoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.interop import exporting, files, importing, layouts, torch_file
from m3i_jax.interop.importing import Imported, Report
from m3i_jax.interop.rename import listed, nested

ENCODER, DECODERS = "encoders/image/", "decoders/"
# What Hugging Face's config.json calls fields of encoders that no shape of a parameter tells.
TOLD = {"layer_norm_eps": "eps", "num_attention_heads": "heads", "image_size": "image"}

Flat = dict[str, np.ndarray]


def read(
    path: str | Path, *, layout: str = layouts.AUTO, torch: bool = False, part: str = ""
) -> Imported:
    """The file in our names; with `torch`, a torch file and which `part` of it.

    Raises:
      ConfigError: nothing that can be read, or keys that no layout knows.
    """
    if not torch:
        return importing.read(path, layout=layout)
    state = torch_file.read(path, part=part)
    return importing.renamed(state, layout=layout, what=f"'{path}'")


def joined(imported: Imported, beside: Imported) -> Imported:
    """The file, with the decoders of another beside it: the two halves of an autoencoder.

    Raises:
      ConfigError: the other one has more than decoders or nothing, or decoders of the same names.
    """
    first, second = (importing.by_module(x.params) for x in (imported, beside))
    strange = [name for name in second if not name.startswith(DECODERS)]
    if strange or not second:
        raise ConfigError(
            f"{beside.path} is to give decoders alone, but has {listed(strange) or 'none'} "
            f"(layout '{beside.layout.name}')"
        )
    if twice := sorted(first.keys() & second.keys()):
        raise ConfigError(f"{imported.path} and {beside.path} both have {listed(twice)}")
    return imported._replace(params={**imported.params, **beside.params})


def described(path: str | Path) -> dict[str, Any]:
    """The block of the encoder in a file that we wrote, from the config.json beside it; else {}."""
    return _beside(path).get("m3i_jax", {}).get("encoder", {})


def told(path: str | Path, name: str) -> dict[str, Any]:
    """Fields of the encoder `name` that Hugging Face's config.json beside a file states."""
    said = _beside(path)
    return {
        ours: said[theirs]
        for theirs, ours in TOLD.items()
        if isinstance(said.get(theirs), int | float) and encoders.accepts(name, ours)
    }


def _beside(path: str | Path) -> dict[str, Any]:
    """The config.json beside the weights, {} where there is none."""
    file = files.located(path)
    beside = file.with_name(files.CONFIG) if file else None
    if beside is None or not beside.is_file():
        return {}
    return json.loads(beside.read_text(encoding="utf-8"))


def encoder(
    imported: Imported, block: Mapping[str, Any], *, ignore: str = ""
) -> tuple[Flat, Report]:
    """Everything in the file by path, its image encoder made to fit, and what became of that.

    Args:
      imported: the file.
      block: `{name, **kwargs}` of our encoder.
      ignore: pattern of its parameters that may be missing or extra.

    Raises:
      ConfigError: the encoder is another one; every missing and every extra parameter is named.
    """
    kwargs = dict(block)
    module = encoders.create(kwargs.pop("name"), **kwargs)
    init = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    wanted = {ENCODER + path: x for path, x in trees.named_leaves(init)}
    found, notes = importing.fitted(imported, wanted, grid=module.grid)
    ours = {path: x for path, x in found.items() if path.startswith(ENCODER)}
    report = importing.report(ours, wanted, notes=notes, what=imported.path)
    importing.complete(report, imported.layout, ignore=ignore, what=imported.path)
    beside = {path: x for path, x in found.items() if path not in ours}
    return {path: ours[path] for path in report.matched} | beside, report


def save(
    folder: str | os.PathLike,
    imported: Imported,
    params: Flat,
    block: Mapping[str, Any],
    *,
    to: str = "m3i_jax",
) -> str:
    """Writes the encoder, and in our own names everything else, too; returns the layout's name."""
    own = {path: x for path, x in params.items() if path.startswith(ENCODER)}
    tree = nested({path.removeprefix(ENCODER): x for path, x in own.items()})
    origin = {"encoder": dict(block), "converted_from": imported.layout.name}
    layout = exporting.save(folder, tree, origin, to=to)
    if to == "m3i_jax":
        files.write(folder, params)
    return layout
