"""A config for any images: a method's recipe, and what the rules make of the facts.

(recipe, images, machine, wish) -> config, and the reason of everything that was chosen
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.unreadable import NAMED
from m3i_jax.interop import beside
from m3i_jax.training import assemble
from m3i_jax.training.automatic import rules
from m3i_jax.training.automatic.facts import Images, Machine, Wish
from m3i_jax.training.config import Config

Plain = dict[str, Any]
LABELS, CAPTIONS = "category", "text"  # towers, and what they are made of
# What a recipe says of its method, and no rule.
OF_METHOD = ("objective", "target", "decoders", "towers", "captions", "weighting", "average")


class Automatic(NamedTuple):
    """config: plain data, which `Config.of` reads.  why: {dotted key: reason}."""

    config: Plain
    why: dict[str, str]


def config(
    recipe: Mapping[str, Any],
    images: Images,
    machine: Machine,
    wish: Wish,
    *,
    data: Mapping[str, Any],
) -> Automatic:
    """The config of a run on any images.

    Args:
      recipe: a whole config of the method, whose heads, rates, crops and colours are taken: what
        `configs/folder` has, or the published one for many images.
      data: block of the images.

    Raises:
      ConfigError: the method learns from labels or captions, and there are none.
    """
    share = rules.held_out(images)
    trained = images.count - round(share.value * images.count)
    name = rules.encoder(images, machine) if not wish.encoder else \
        rules.Choice(wish.encoder, "as asked")  # fmt: skip
    side, batch = rules.side(images, machine), rules.batch(trained, machine)
    chosen: dict[str, rules.Choice] = {
        "encoder.name": name,
        "image": side,
        "batch": batch,
        "dtype": rules.Choice(
            "bfloat16" if machine.accelerated else "float32",
            "twice as fast on accelerators, not on CPUs",
        ),  # fmt: skip
        "unreadable": rules.Choice(NAMED, "files that are no images are left out, and named"),
    }
    block = dict(data)
    if share.value:
        block = {"name": "held_out", "of": block, "share": share.value}
        chosen["data.share"] = share
    own = _method(recipe, images, trained)
    body, of_encoder = _encoder(recipe, name.value, side.value)
    _sized(own, body, images, side.value)
    crops, of_crops = _crops(recipe, images, side.value, body.get("patch", 1))
    optimizer, of_rate = _optimizer(recipe, batch.value)
    chosen |= of_encoder | of_crops | of_rate
    chosen["duration"] = rules.duration(wish.duration)
    chosen["warmup"] = rules.Choice("10 percent", "as in our recipes, and MAE's fine-tuning")
    whole = own | {
        "seed": 0, "image": side.value, "batch": batch.value, "dtype": chosen["dtype"].value,
        "duration": wish.duration, "warmup": "10 percent", "unreadable": NAMED, "data": block,
        "crops": crops, "augment": _colours(recipe, images, side.value),
        "encoder": body, "optimizer": optimizer,
        "log": {"every": 10, "images": 0}, "checkpoint": {"every": 250, "keep": 2},
        "monitor": _monitor(images, share.value),
    }  # fmt: skip
    return Automatic(whole, {key: choice.why for key, choice in chosen.items()})


def require_enough(images: Images, data: Mapping[str, Any]) -> None:
    """Refuses what no batch can be made of.

    data: block of the images.

    Raises:
      ConfigError: there are too few; the message says how many it takes.
    """
    if images.count < (least := rules.fewest(images)):
        held = "" if images.test else ", and one that is held out, to measure on"
        raise ConfigError(
            f"'{data.get('root', data['name'])}' has {images.count} "
            f"image{'s' * (images.count != 1)} to train on, and a run is of {least} at least: two "
            f"in a batch, which are told apart{held}; thousands are what an encoder learns from"
        )


def _method(recipe: Mapping[str, Any], images: Images, trained: int) -> Plain:
    """The blocks of the method, without what it would learn from and the images do not have."""
    own = {key: _copy(recipe.get(key, {})) for key in OF_METHOD}
    objective, lacking = own["objective"], []
    reads = assemble.objective(Config.of(recipe)).sources
    if "label" in reads and not images.labels:
        lacking.append(LABELS)
    if "text" in reads and not images.captioned:
        lacking.append(CAPTIONS)
    for tower in lacking:
        if objective.get(tower) is not True:  # M3I does without
            what = {
                LABELS: "labels (a folder for each class)",
                CAPTIONS: "captions (NAME.txt beside NAME.jpg, or metadata.csv)",
            }
            raise ConfigError(
                f"--method={objective['name']} learns from {what[tower]}, and these images have "
                "none; --method=simclr needs none"
            )
        objective[tower] = False
        objective.pop(f"{tower}_weight", None)
        del own["towers"][tower], own["decoders"][tower]
    if CAPTIONS not in own["towers"]:
        own["captions"] = {}
    if lacking and not own["towers"]:
        own["weighting"] = {"name": "constant"}
    if own["target"].get("name") == "ema":
        own["target"].pop("momentum", None)  # what fits the length, `training.average`
    if isinstance(objective.get("size"), int):
        objective["size"] = rules.queue(objective["size"], trained).value
    return own


def _encoder(recipe: Mapping[str, Any], name: str, side: int) -> tuple[Plain, dict]:
    """The block of the encoder: what the method asks of any, and a patch that fits."""
    asked = {k: v for k, v in recipe["encoder"].items() if k in ("hide", "final_norm")}
    own = rules.own_patch(name)
    if own is None:
        return {"name": name, **({} if "hide" not in asked else {"hide": asked["hide"]})}, {}
    patch = rules.patch(name, image=side, own=own)
    return {"name": name, **asked, "patch": patch.value}, {"encoder.patch": patch}


def _sized(own: Plain, encoder: Plain, images: Images, side: int) -> None:
    """Gives the table of classes its size."""
    if LABELS in own["towers"]:
        module = beside.create({**encoder, "image": side})
        own["towers"][LABELS] |= {"size": images.classes, "width": module.features}


def _crops(recipe, images: Images, side: int, patch: int) -> tuple[Plain, dict]:
    """The block of the crops."""
    least, most = recipe["crops"].get("scale", (0.2, 1.0))
    smallest = rules.smallest_crop(least, images)
    crops: Plain = {"scale": (smallest.value, most), "flip": 0.5}
    chosen = {
        "crops.scale": smallest._replace(value=crops["scale"]),
        "crops.flip": rules.Choice(0.5, "mirrored; 0 for text, digits and whatever has a side"),
    }
    if "local_size" in recipe["crops"]:
        upper = max(smallest.value, 0.25)
        crops["scale"] = (upper, most)
        crops["local_size"] = max(1, round(side / 2 / patch)) * patch
        crops["local_scale"] = (min(0.05 if side > 64 else 0.1, upper), upper)
        chosen["crops.local_size"] = rules.Choice(crops["local_size"], "half a view (DINO: 96/224)")
    return crops, chosen


def _colours(recipe, images: Images, side: int) -> Plain:
    """The blocks of the augmentation: of the recipe; no blur below 64 pixels, where SimCLR has
    none on CIFAR (https://arxiv.org/abs/2002.05709, B.9), and no colours of grey."""
    blocks = _copy(recipe["augment"])
    for block in blocks.values():
        if side < 64:
            block["blur"] = 0.0
        if images.grey:
            block |= {"saturation": 0.0, "hue": 0.0, "grayscale": 0.0}
    return blocks


def _optimizer(recipe: Mapping[str, Any], batch: int) -> tuple[Plain, dict]:
    """The recipe's, with rates for this batch; a rate that is for 256 images stays."""
    block, chosen = _copy(recipe["optimizer"]), {}
    factor = rules.rate(block, of=recipe["batch"], batch=batch)
    for key in ("lr", "end_lr"):
        if block.get(key) and "base_lr" not in block:
            block[key] = float(f"{block[key] * factor.value:.3g}")
            chosen[f"optimizer.{key}"] = factor._replace(value=block[key])
    return block, chosen


def _monitor(images: Images, share: float) -> Plain:
    """kNN beside the training: every 100 steps, or as often as a twentieth of the time allows."""
    held = round(share * images.count) if share else images.count
    bank = max(1, min(1000, images.count - (held if share else 0)))
    return {"every": 100, "bank": bank, "queries": max(1, min(500, held)),
            "k": min(20, bank), "most": 0.05}  # fmt: skip


def _copy(value: Any) -> Any:
    """Plain data without a block in common."""
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return value
