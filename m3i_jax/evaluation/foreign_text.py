"""The text tower of a file that has one beside its image encoder: CLIP's, as others save it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax import networks
from m3i_jax.checkpoints.token_rows import aligned
from m3i_jax.data import captions
from m3i_jax.data.captions import Captions
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.terms import Pair
from m3i_jax.interop import clip, files, importing
from m3i_jax.interop.importing import Imported
from m3i_jax.interop.rename import nested
from m3i_jax.training.session import TOKENIZER

PAIR = Pair("text", "text")
TOWER, HEAD = "encoders/text", "decoders/text"


def with_text(model: Model, *, what: str) -> tuple[Model, Captions]:
    """The model of a file with the text tower and the head of the same file, and its tokenizer.

    The text tower is CLIP's: sizes are those of its tables, heads, eps and activation what lies
    beside the file says, heads of 64 dimensions where it says nothing.

    what: that needs it, for sentences.

    Raises:
      NotMeasurable: the file has no text tower, or there is no tokenizer.json beside it.
    """
    path = Path(model.name)
    weights = files.located(path)
    if weights is None:
        raise NotMeasurable(f"{what} reads texts by a safetensors file, and '{path}' is none")
    imported = importing.read(weights)
    modules = importing.by_module(imported.params)
    if imported.layout not in (clip.OPENAI, clip.HUGGING_FACE) or TOWER not in modules:
        raise NotMeasurable(
            f"{what} needs a model of images and texts, and '{path}' has no text tower of CLIP's; "
            "of a run of ours, evaluate the work directory"
        )
    file = weights.parent / TOKENIZER
    if not file.is_file():
        raise NotMeasurable(
            f"{what} needs the tokenizer of the text tower, and there is no '{file}'"
        )
    length = len(modules[TOWER]["pos_embed"])
    tokenizer = captions.load(file, length=length)
    rows = len(modules[TOWER]["token_embed"]) + int(tokenizer.raised)
    modules = importing.by_module(aligned(imported, tokenizer, rows=rows).params)
    text, head = (nested(modules[name]) for name in (TOWER, HEAD))
    network = _network(model, imported, modules)
    image = model.params["encoders"]["image"]
    params = {"encoders": {"image": image, "text": text}, "decoders": {"text": head}}
    tokenizer.check(vocabulary=rows, length=length)
    return model._replace(network=network, params=params), tokenizer


def _network(model: Model, imported: Imported, modules: Mapping[str, Any]) -> networks.Network:
    """The network of both towers and of the head."""
    sizes = _sizes(modules[TOWER])
    said = {field: fact.value for field, fact in imported.stated.text.items()}
    text = {"name": "clip_text", "heads": max(1, sizes["width"] // 64), **sizes}
    # Of a file that says it once, both towers have the same (open_clip's quick_gelu).
    text |= {"activation": model.block.get("activation", "quick_gelu"), **said}
    bias = "head/bias" in modules[HEAD]
    head = {"name": "linear", "pool": "class", "bias": bias, "logit_scale": True}
    out = {"text": sizes["projection"] or sizes["width"]}
    options = dict(image=model.image, dtype="float32", out=out)
    return networks.build(
        model.block, {"text": text | {"unit_norm": True}}, {"text": head}, **options
    )


def _sizes(params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of a text tower that the shapes of its parameters show."""
    projection = params.get("projection/kernel")
    hidden = params["blocks/mlp/fc1/kernel"]
    width = params["token_embed"].shape[1]
    return {
        "width": width,
        "depth": hidden.shape[0],
        "mlp_ratio": hidden.shape[-1] / width,
        "vocabulary": len(params["token_embed"]),
        "length": len(params["pos_embed"]),
        "projection": None if projection is None else projection.shape[1],
    }
