"""The text tower of a file that has one beside its image encoder: CLIP's and SigLIP's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from m3i_jax import networks, trees
from m3i_jax.checkpoints.token_rows import aligned
from m3i_jax.data import captions
from m3i_jax.data.captions import Captions
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model, module
from m3i_jax.evaluation.terms import Pair
from m3i_jax.interop import beside, conversion, files, importing
from m3i_jax.interop.importing import Imported
from m3i_jax.interop.rename import Layout, listed, nested
from m3i_jax.training.inputs import TOKENIZER

PAIR = Pair("text", "text")
TOWER, HEAD = "encoders/text", "decoders/text"
# Whose shapes say how large a text tower is; both CLIP's and SigLIP's end with a projection.
SHAPES = ("token_embed", "pos_embed", "blocks/mlp/fc1/kernel", "projection/kernel")
SETTINGS = "tokenizer_config.json"


def with_text(model: Model, *, what: str) -> tuple[Model, Captions]:
    """The model of a file with the text tower and the head of the same file, and its tokenizer.

    The text tower is that of the file's layout: sizes are those of its tables, heads, eps and
    activation what lies beside the file says, heads of 64 dimensions where it says nothing.

    what: that needs it, for sentences.

    Raises:
      NotMeasurable: the file has no text tower or not all of it, or there is no tokenizer.json
        beside it.
    """
    path = Path(model.name)
    weights = files.located(path)
    if weights is None:
        raise NotMeasurable(f"{what} reads texts by a file of weights, and '{path}' is none")
    imported = conversion.read(weights, torch=weights.suffix in files.TORCH)
    modules = importing.by_module(imported.params)
    if not imported.layout.text or not modules.keys() >= {TOWER, HEAD}:
        raise NotMeasurable(
            f"{what} needs a model of images and texts, and '{path}' has no text tower of CLIP's "
            "or SigLIP's; "
            "of a run of ours, evaluate the work directory"
        )
    _whole([f"{TOWER}/{name}" for name in SHAPES if name not in modules[TOWER]], path, what=what)
    file = weights.parent / TOKENIZER
    if not file.is_file():
        raise NotMeasurable(
            f"{what} needs the tokenizer of the text tower, and there is no '{file}'"
        )
    length = len(modules[TOWER]["pos_embed"])
    said_by = f"--model {path}:end=TOKEN"
    tokenizer = captions.load(file, length=length, end=model.end, said_by=said_by)
    rows = len(modules[TOWER]["token_embed"]) + int(tokenizer.raised)
    modules = importing.by_module(aligned(imported, tokenizer, rows=rows).params)
    tower = _tower(model, imported, modules[TOWER])
    if beside.create(tower).see_padding:
        row = _padding(weights, tokenizer, what=what)
        table = modules[TOWER]["token_embed"]
        modules[TOWER]["token_embed"] = np.concatenate([table[row : row + 1], table[1:]])
    network = _network(model, tower, imported.layout)
    text, head = (nested(modules[name]) for name in (TOWER, HEAD))
    image = model.params["encoders"]["image"]
    params = {"encoders": {"image": image, "text": text}, "decoders": {"text": head}}
    wanted = trees.named_leaves(jax.eval_shape(network.init, jax.random.key(0)))
    there = {name for name, _ in trees.named_leaves(params)}
    _whole([name for name, _ in wanted if name not in there], path, what=what)
    tokenizer.check(vocabulary=rows, length=length)
    return model._replace(network=network, params=params), tokenizer


def _whole(lacking: Sequence[str], path: Path, *, what: str) -> None:
    if lacking:
        raise NotMeasurable(f"{what} needs all of the towers, and '{path}' lacks {listed(lacking)}")


def _tower(model: Model, imported: Imported, params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The block of the text tower."""
    sizes = _sizes(params)
    said = {field: fact.value for field, fact in imported.stated.text.items()}
    text = {**imported.layout.text, "heads": max(1, sizes["width"] // 64), **sizes}
    # Of a file that says it once, both towers have the same (open_clip's quick_gelu).
    return text | {"activation": model.block.get("activation", "quick_gelu"), **said}


def _network(model: Model, text: dict[str, Any], layout: Layout) -> networks.Network:
    """The network of both towers and of the head."""
    encoder = module(model)
    head = {**layout.head, **{field: getattr(encoder, field) for field in layout.head_like_encoder}}
    options = dict(image=model.image, dtype="float32")
    options["out"] = {"text": text["projection"]}
    text = {**text, "unit_norm": True}
    return networks.build(model.block, {"text": text}, {"text": head}, **options)


def _padding(weights: Path, tokenizer: Captions, *, what: str) -> int:
    """Our id of the token that the texts of a file are padded with.

    Of a tower that reads padding, its row is that of our own padding, 0; no caption has that.

    Raises:
      NotMeasurable: nothing says which token it is.
    """
    token = files.beside(weights, SETTINGS).get("pad_token")
    token = token.get("content") if isinstance(token, Mapping) else token
    own = files.beside(weights, TOKENIZER).get("padding") or {}
    row = tokenizer.number(str(token or own.get("pad_token")))
    if row is None:
        raise NotMeasurable(
            f"{what} needs to know what short texts are padded with, since the text tower reads "
            f"it; beside '{weights}' neither the padding of {TOKENIZER} nor pad_token in "
            f"{SETTINGS} names a token of the vocabulary"
        )
    return row


def _sizes(params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The fields of a text tower that the shapes of its parameters show."""
    hidden = params["blocks/mlp/fc1/kernel"]
    width = params["token_embed"].shape[1]
    return {
        "width": width,
        "depth": hidden.shape[0],
        "mlp_ratio": hidden.shape[-1] / width,
        "vocabulary": len(params["token_embed"]),
        "length": len(params["pos_embed"]),
        "projection": params["projection/kernel"].shape[1],
        "projection_bias": "projection/bias" in params,
    }
