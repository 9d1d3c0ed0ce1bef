"""Rules of an automatic config: each a function of a few facts, with its reason and source.

The numbers of a method are those of its recipe; a rule says only what images, machine and length
ask to be other.
"""

import math
from typing import Any, NamedTuple

from m3i_jax import encoders
from m3i_jax.data.sources.held_out import usual
from m3i_jax.training.automatic.facts import Images, Machine

CPU_SIDE = 32  # pixels
FEW = 10_000  # images: a small encoder; and fewer than this many are cut less
MANY = 100_000  # images from which a method's published heads have enough to tell apart
GRID = 4  # cells of a side of the image at least, which masks and crops can part
SMALLEST = 16  # pixels of the original that the smallest crop shows, each way
ROWS = 128  # of a batch on CPUs
ROWS_PER_DEVICE = 256


class Choice(NamedTuple):
    """A value of a config, and why it is that."""

    value: Any
    why: str


def fewest(images: Images) -> int:
    """Images that a run can be made of: two in a batch, which a method may tell apart, and one that
    is held out where there is no test split."""
    return 2 if images.test else 3


def side(images: Images, machine: Machine) -> Choice:
    """The side of the views in pixels."""
    if not machine.accelerated:
        return Choice(CPU_SIDE, "no accelerator: 64 pixels would take four times as long")
    fitting = max(CPU_SIDE, min(224, 32 * round((images.side or 224) / 32)))
    return Choice(fitting, f"the short side of the images is {images.side} pixels, halfway; 224 "
                  "is what recipes have (MAE, DINO)")  # fmt: skip


def encoder(images: Images, machine: Machine) -> Choice:
    """The name of an encoder."""
    if not machine.accelerated:
        return Choice("vit_nano", "no accelerator: 0.8 million parameters learn in minutes")
    if images.count < FEW:
        return Choice("vit_ti16", f"fewer than {FEW} images")
    return Choice("vit_s16", "as much as one device trains in hours")


def patch(name: str, *, image: int, own: int) -> Choice:
    """The side of a patch in pixels: the encoder's own, but `GRID` of them each way."""
    if name == "vit_nano":
        return Choice(max(1, image // GRID), f"{GRID} × {GRID} patches, the fastest that learn "
                      "(docs/start.md)")  # fmt: skip
    fitting = min(own, max(1, image // GRID))
    return Choice(fitting, "the encoder's own" if fitting == own else
                  f"{GRID} × {GRID} patches at least, which masks and crops can part")  # fmt: skip


def batch(trained: int, machine: Machine) -> Choice:
    """Images per step over all devices: a power of two for each, half of the images at most."""
    most = ROWS_PER_DEVICE if machine.accelerated else 2 ** int(math.log2(ROWS / machine.devices))
    half = max(1, trained // 2 // machine.devices)
    each = min(most, 2 ** int(math.log2(half)))
    each = max(each, 2 if machine.devices == 1 else 1)
    why = "half of the images at most, so that a batch holds none twice"
    if each == most:
        why = f"{each} a device" if machine.accelerated else "what two cores step through in 1 s"
    return Choice(each * machine.devices, why)


def rate(recipe: dict[str, Any], *, of: int, batch: int) -> Choice:
    """The factor of a recipe's rates that a batch of another size asks for.

    √(B / B₀) for Adam's kind (Malladi et al. 2022, https://arxiv.org/abs/2205.10287), B / B₀ for
    SGD (Goyal et al. 2017, https://arxiv.org/abs/1706.02677).
    """
    ratio = batch / of
    if recipe.get("name") == "adamw":
        return Choice(math.sqrt(ratio), f"the recipe's, times √({batch} / {of})")
    return Choice(ratio, f"the recipe's, times {batch} / {of}")


def smallest_crop(published: float, images: Images) -> Choice:
    """The least share of an image's area that a view shows.

    That of the published recipe, .2 at least for few images as MoCo v2 has it, and as much as
    shows `SMALLEST` pixels each way, .35 at most.
    """
    whole = min(0.35, (SMALLEST / max(images.side, 1)) ** 2)
    least = max(published, 0.2 if images.count < MANY else 0.0, round(whole, 2))
    if least == published:
        return Choice(least, "as published")
    if least == 0.2:
        return Choice(least, f"fewer than {MANY} images and a short run (MoCo v2)")
    return Choice(least, f"a smaller part of {images.side} pixels shows too little")


def held_out(images: Images) -> Choice:
    """The share of training that is never trained on, where there is no test split; else 0."""
    if images.test:
        return Choice(0.0, "there is a test split")
    share = usual(images.count)
    return Choice(share, f"no test split: {round(share * images.count)} images are held "
                  "out, always the same, and never trained on")  # fmt: skip


def duration(wished: str) -> Choice:
    """The length, as somebody wishes it."""
    timed = "the first steps are timed, then it is fixed in steps" if "minute" in wished else ""
    return Choice(wished, timed or "as asked")


def queue(size: int, trained: int) -> Choice:
    """Length of a queue of negatives: the recipe's, half of an epoch at most."""
    fitting = min(size, 2 ** int(math.log2(max(2, trained // 2))))
    return Choice(fitting, "half of the images at most: an older code of an image is no negative "
                  "of it (MoCo)")  # fmt: skip


def own_patch(name: str) -> int | None:
    """The patch of an encoder as its name says it; None of one that has none."""
    if not encoders.accepts(name, "patch") or not name.startswith("vit_"):
        return None
    digits = "".join(filter(str.isdigit, name))
    return int(digits) if digits else 4
