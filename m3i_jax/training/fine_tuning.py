"""A config that fine-tunes any encoder on any labelled data: what both say, over a recipe.

Number of categories, encoder, sizes and positions come from the data and from the run or the file;
the recipe gives the rest: lengths, rates, decay, augmentation, what is mixed; and what is
predicted, classes or what the data say of pixels.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import data, encoders, geometry
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.data.sources import annotation_names, protocol
from m3i_jax.interop import beside, conversion

# Of a recipe's encoder, what any other may have instead of its own.
OF_RECIPE = ("drop_path", "drop_path_schedule", "remat")
# Of an encoder, what is of its pre-training alone.
OF_PRETRAINING = ("image", "dtype", "hide", "fused", "shares", *OF_RECIPE)
# Parameters that only one of the two may have, and fields that differ on purpose.
IGNORE = (
    r"mask_token$|^encoders/image/projection/|relative_position/(rows|columns)$"
    r"|^(positions|relative_bias|hide|fused|window|global_blocks)$"
)
IGNORE_NORM = IGNORE + r"|/norm/|pos_embed$"


LONG = 4  # times as long as its short side a scene may be, which is fitted to the images' side


class Kind(NamedTuple):
    """Of how many kinds what is said of pixels is: by a source, and as which key of the method."""

    count: Callable[[data.Source], int]
    key: str = ""


KINDS = {
    "segmentation": Kind(annotation_names.categories, "classes"),
    "depth": Kind(lambda source: 1),
    "pose": Kind(annotation_names.points, "points"),
    "mask_rcnn": Kind(lambda source: len(annotation_names.objects(source)), "classes"),
}


class Origin(NamedTuple):
    """What is fine-tuned.

    path: a work directory, one of its checkpoints, or a file of weights or its folder.
    branch: of a work directory.
    block: `{name, **kwargs}` of its encoder, with the side of its images.
    data: block of the data that a run was trained on, {} of a file.
    unreadable: share of these that may be broken; None of a file.
    """

    path: str
    branch: str
    block: dict[str, Any]
    data: dict[str, Any]
    unreadable: float | None = None


def origin(path: str | Path, *, branch: str = "online") -> Origin:
    """Reads what a run or a file says of its encoder; no weights of a run are read.

    Raises:
      ConfigError: nothing there, or nobody says which encoder it is.
    """
    if not weights.is_file(path):
        config = weights.meta(path)[1]["config"]
        block = {"image": config.get("image", 224), **config["encoder"]}
        own = dict(config.get("data", {}))
        return Origin(str(path), branch, block, own, config.get("unreadable"))
    try:
        block = conversion.block(conversion.read(path), "", {})
    except ConfigError as error:
        if "--encoder" not in str(error):
            raise
        raise ConfigError(
            f"nothing beside '{path}' says which encoder it is; m3i convert --input {path} "
            "--encoder NAME --output FOLDER writes that down, then take --model FOLDER"
        ) from error
    return Origin(str(path), branch, block, {})


def counts(objective: Mapping[str, Any], block: Mapping[str, Any]) -> tuple[int, int]:
    """Records of the training split, and of how many kinds is what the objective reads of them.

    Raises:
      ConfigError: they say nothing of it; of labels, that there is one category only.
    """
    train = data.source(block, split="train")
    name = objective.get("name")
    if name in KINDS:
        return len(train), KINDS[name].count(train)
    protocol.require_labels(train, split="train", what="fine-tuning")
    return len(train), len(train.classes)


def fitting(batch: int, images: int) -> int | None:
    """The batch for so few images that one of `batch` would hold some twice: the largest power of 2
    that they fill; None where they fill it."""
    return None if batch <= images else 1 << (images.bit_length() - 1)


def config(
    recipe: Mapping[str, Any],
    origin: Origin,
    block: Mapping[str, Any],
    *,
    size: int,
    image: int | None = None,
    epochs: float | None = None,
    batch: int | None = None,
    lr: float | None = None,
) -> dict[str, Any]:
    """The recipe with this encoder, on this data.

    Args:
      recipe: a whole config that fine-tunes, as plain data.
      origin: the encoder.  block: of the data, of `size` categories, or key points.
      image: side in pixels; None = the encoder's own.
      epochs: the warm-up is the same share of them as in the recipe.
      batch: the rate follows it in proportion, where `lr` does not say it.
      lr: the peak rate.
    """
    full = {key: dict(x) if isinstance(x, Mapping) else x for key, x in recipe.items()}
    side = image or _side(origin) or full["image"]
    frozen = bool(re.search(full["optimizer"].get("freeze") or "$^", "encoders/image/"))
    own = encoder(origin.block, full["encoder"], image=side, frozen=frozen)
    module = beside.create({**own, "image": side})
    full |= {"image": side, "encoder": own, "data": dict(block), "epoch_size": 0}
    full["monitor"] = {**full.get("monitor", {}), "every": 0}  # it is validated, and by all images
    of_vit = own.get("final_norm") is False
    norm = "layer" if of_vit else "none"
    if full["objective"]["name"] in KINDS:
        full |= _dense(full, module, size=size, side=side)
    else:
        full |= _classifier(full, module, size=size, norm=norm, probe=frozen)
    ignore = IGNORE_NORM if of_vit else IGNORE
    full["init_from"] = {"path": origin.path, "branch": origin.branch, "ignore": ignore}
    return full | _lengths(full, epochs=epochs, batch=batch, lr=lr)


def _dense(recipe: Mapping[str, Any], module: Any, *, size: int, side: int) -> dict[str, Any]:
    """Blocks of a head that says something of pixels; scenes are fitted to the encoder's images.

    A head that reads several maps reads all that this encoder has; one with a pyramid has that of
    the last map of a ViT, or of the maps of stages.
    """
    objective, crops = dict(recipe["objective"]), dict(recipe["crops"])
    depths = tuple(getattr(module, "depths", ())) or (module.depth,)
    if any("pyramid" in head for head in recipe["decoders"].values()):
        objective["blocks"] = "stages" if len(depths) > 1 else "last"
    maps = tuple(range(max(len(geometry.numbered(objective.get("blocks", "last"), depths)), 1)))
    heads = {
        name: {
            **head,
            **({"maps": maps} if "maps" in head else {}),
            **({"pyramid": "fpn" if len(depths) > 1 else "simple"} if "pyramid" in head else {}),
        }
        for name, head in recipe["decoders"].items()
    }
    if key := KINDS[objective["name"]].key:
        objective[key] = size
    if "base" in crops:
        long, short = crops["base"]
        crops["base"] = (LONG * side if long > short else side, side)
    return {"objective": objective, "crops": crops, "towers": {}, "decoders": heads}


def _classifier(
    recipe: Mapping[str, Any], module: Any, *, size: int, norm: str, probe: bool
) -> dict[str, Any]:
    """Blocks of the classifier behind an encoder; of a probe all but the sizes is the recipe's."""
    table, head = recipe["towers"]["category"], recipe["decoders"]["category"]
    start = {} if probe else {"deviation": 2e-5 if norm == "layer" else 0.02}
    pool = head.get("pool", "mean") if getattr(module, "class_token", False) else "mean"
    norm = head.get("norm", "none") if probe else norm
    return {
        "towers": {"category": {**table, "size": size, "width": module.features, **start}},
        "decoders": {"category": {"name": "pooled", "pool": pool, "norm": norm}},
    }


def _side(origin: Origin) -> int | None:
    """The side of the images that an encoder has seen, which are squares; None = nobody says."""
    said = origin.block.get("image")
    sides = {*said} if isinstance(said, list | tuple) else {said}
    if len(sides) != 1:
        raise ConfigError(
            f"'{origin.path}' has seen images of {said[0]}x{said[1]} pixels, and views are "
            f"squares; name their side, --image {max(sides)}"
        )
    return sides.pop()


def encoder(
    theirs: Mapping[str, Any], recipe: Mapping[str, Any], *, image: Any, frozen: bool = False
) -> dict[str, Any]:
    """The block of an encoder as it is fine-tuned: its own, without what is of its pre-training.

    A ViT ends without its last norm, as the mean token gets a new one (MAE); fixed positions learn,
    and each block gets the position bias that all shared (BEiT).

    frozen: it is probed, so that a ViT stays as it is, but for a last norm that the recipe lacks.
    """
    name = theirs["name"]
    module = beside.create(theirs)
    own = {key: x for key, x in theirs.items() if key not in OF_PRETRAINING}
    own |= {k: recipe[k] for k in OF_RECIPE if k in recipe and encoders.accepts(name, k)}
    if encoders.accepts(name, "pretrained_window"):  # Swin; a ViT may have windows, too
        own["hide"] = ""
        if (image, image) != module.size:
            sides = beside.of_block(theirs, where="").windows
            own["pretrained_window"] = tuple(max(side) for side in sides)
    if encoders.accepts(name, "class_token") and frozen:
        own |= {"final_norm": False} if recipe.get("final_norm") is False else {}
    elif encoders.accepts(name, "class_token"):
        own["final_norm"] = False
        if module.positions == "sincos":
            own["positions"] = "tuned"
        if module.relative_bias == "shared":
            own["relative_bias"] = "layer"
    return own


def _lengths(recipe: Mapping[str, Any], *, epochs, batch, lr) -> dict[str, Any]:
    """The keys of a config that length, batch and rate change."""
    optimizer, changes = dict(recipe["optimizer"]), {}
    if batch is not None and lr is None and "lr" in optimizer:
        factor = batch / recipe["batch"]
        optimizer["lr"] *= factor
        if "end_lr" in optimizer:
            optimizer["end_lr"] *= factor
    if lr is not None:
        optimizer.pop("base_lr", None)
        optimizer["lr"] = lr
        if optimizer.get("end_lr", 0.0) > lr:
            optimizer["end_lr"] = 0.0
    if epochs is not None:
        whole, rising = recipe["duration"].split(), recipe["warmup"].split()
        if whole[1:] == rising[1:] and float(whole[0]):
            changes["warmup"] = f"{100 * float(rising[0]) / float(whole[0]):g} percent"
        changes["duration"] = f"{epochs:g} epochs"
    return changes | {"optimizer": optimizer, "batch": batch or recipe["batch"]}
