"""Models of files: our exports, timm's, transformers' and reference weights.

Nothing is typed twice: family, sizes, positions, activation and normalisation are those that the
file shows or that lie beside it. What nobody says is a guess, and said to be one.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import exported
from m3i_jax.evaluation.models import Model, of_block
from m3i_jax.interop import beside, conversion, files, importing, layouts
from m3i_jax.interop.importing import Imported
from m3i_jax.interop.rename import nested

LOG = logging.getLogger(__name__)
IGNORED = "mask_token$"  # what evaluation has no use for
# Layouts of weights that were trained without anything that reads the class token.
BY_MEAN = ("mae", "mae_huggingface", "siamese_im", "beit", "beit_v2", "beit_huggingface", "simmim")


def of_file(
    path: str | Path, *, image: int | None = None, end: str | None = None, **said: Any
) -> Model:
    """The image encoder of a file of weights, or of the folder of one.

    Args:
      path: safetensors, ONNX or a torch file (weights only), or a folder with model.safetensors.
      image: side of the images that it is to see, None = its own; positions are resampled.
      end: token that ends texts, where the tokenizer beside the file does not say so.
      said: what is not in the file, over what is: `encoder`, our name of its family; `layout`
        and `part` of a torch file, as for `m3i convert`; any field of the encoder.

    Raises:
      ConfigError: it cannot be read, or it is no encoder of ours.
    """
    path = Path(path)
    read = {key: said.pop(key) for key in ("layout", "part") if key in said}
    file = files.located(path) or path
    imported = conversion.read(path, torch=file.suffix in files.TORCH, **read)
    fields = said | ({} if image is None else {"image": image})
    block = _block(imported, fields, path)
    params, report = conversion.encoder(imported, block, ignore=IGNORED, chosen=fields)
    for note in report.notes:
        LOG.info("%s: %s", path, note)
    guess = next((note for note in report.notes if "a guess" in note), "")
    origin = dict(params=nested(params), name=str(path), branch="file", note=guess)
    model = of_block(block, pool=_pool(imported, block), **origin)
    model = model._replace(crop=imported.stated.crop, end=None if end is None else str(end))
    return exported.with_told(model)


def _block(imported: Imported, fields: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The block of the encoder: what is stated, or what the shapes of a ViT show."""
    fields, stated = dict(fields), imported.stated
    name = str(fields.pop("encoder", ""))
    if not name and not stated.block and not stated.encoder:
        shown = beside.sizes(importing.by_module(imported.params).get("encoders/image", {}))
        if not shown:
            raise ConfigError(
                f"nothing beside '{path}' says which encoder it is (layout "
                f"'{imported.layout.name}'): add it, --model {path}:encoder=NAME; m3i list "
                "encoders shows the names"
            )
        name, fields = "vit_b16", shown | fields
    return conversion.block(imported, name, fields)


def _pool(imported: Imported, block: Mapping[str, Any]) -> str:
    """The class token where one was trained to stand for the image, else the mean."""
    ours = imported.layout is layouts.OWN or bool(imported.stated.block)
    tokens = {"encoders/image/cls_token"} & imported.params.keys()
    return "cls" if tokens and not ours and imported.layout.name not in BY_MEAN else "mean"
