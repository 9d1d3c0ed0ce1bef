"""A file of others as one of ours: the image encoder made to fit, whatever else is in it kept."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from m3i_jax import encoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside, exporting, files, importing, layouts, torch_file
from m3i_jax.interop.importing import Imported, Report
from m3i_jax.interop.rename import listed, nested

ENCODER, DECODERS = "encoders/image/", "decoders/"

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
    return importing.with_stated(importing.renamed(state, layout=layout, what=f"'{path}'"), path)


def merged(imported: Imported, second: Imported) -> Imported:
    """The file, with the decoders of another beside it: the two halves of an autoencoder.

    Raises:
      ConfigError: the other one has more than decoders or nothing, or decoders of the same names.
    """
    there, more = (importing.by_module(x.params) for x in (imported, second))
    strange = [name for name in more if not name.startswith(DECODERS)]
    if strange or not more:
        raise ConfigError(
            f"{second.path} is to give decoders alone, but has {listed(strange) or 'none'} "
            f"(layout '{second.layout.name}')"
        )
    if twice := sorted(there.keys() & more.keys()):
        raise ConfigError(f"{imported.path} and {second.path} both have {listed(twice)}")
    return imported._replace(params={**imported.params, **second.params})


def block(imported: Imported, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The block `{name, **kwargs}` of the encoder that a file is of.

    What its layout usually has, what its parameters show, what is said beside it, and `fields`:
    each over those before.

    Args:
      imported: the file.
      name: our encoder of this shape; "" = what is said beside the file.
      fields: of the encoder, as the user wants them.

    Raises:
      ConfigError: nobody says what encoder it is.
    """
    stated = imported.stated
    if not name and stated.block:
        return {**stated.block, **fields}
    if not name and not stated.encoder:
        raise ConfigError("--encoder is needed for a file that says nothing of it: vit_b16, ...")
    params = importing.by_module(imported.params).get("encoders/image", {})
    # A name of timm's, such as vit_large_patch16_224, says no width: the parameters show it.
    sizes = {field: x for field, x in beside.sizes(params).items() if field in beside.SIZES}
    known = {**imported.layout.encoder, **beside.shown(params), **sizes, **stated.fields()}
    chosen = name or stated.encoder
    taken = {
        field: x
        for field, x in known.items()
        if encoders.accepts(chosen, field) and not (name and field in beside.SIZES)
    }
    return {"name": chosen, **taken, **fields}


def encoder(
    imported: Imported,
    block: Mapping[str, Any],
    *,
    ignore: str = "",
    chosen: Collection[str] = (),
) -> tuple[Flat, Report]:
    """Everything in the file by path, its image encoder made to fit, and what became of that.

    Args:
      imported: the file.
      block: `{name, **kwargs}` of our encoder.
      ignore: pattern of its parameters that may be missing or extra.
      chosen: fields that may be other than what is said beside the file.

    Raises:
      ConfigError: the encoder is another one; every missing and every extra parameter is named.
    """
    module = beside.create(block)
    init = jax.eval_shape(module.init, jax.random.key(0), module.example())["params"]
    wanted = {ENCODER + path: x for path, x in trees.named_leaves(init)}
    said = beside.agree(
        imported.stated, block, chosen=lambda field: field in chosen, what=imported.path
    )
    fitted, notes = importing.fitted(imported, wanted, grid=module.grid)
    notes += said + importing.left(imported)
    ours = {path: x for path, x in fitted.items() if path.startswith(ENCODER)}
    report = importing.report(ours, wanted, notes=notes, what=imported.path)
    importing.complete(report, imported.layout, ignore=ignore, what=imported.path)
    others = {path: x for path, x in fitted.items() if path not in ours}
    return {path: ours[path] for path in report.matched} | others, report


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
    origin |= {"crop": imported.stated.crop} if imported.stated.crop else {}
    layout = exporting.save(folder, tree, origin, to=to)
    if to == "m3i_jax":
        files.write(folder, params)
    return layout
