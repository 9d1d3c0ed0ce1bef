"""The configs that come with the library: `digit_scenes/mae`, and the names they had before."""

import logging
from pathlib import Path

LOG = logging.getLogger(__name__)
FOLDER = Path(__file__).parent / "configs"
SHARED = "recipes"  # what configs are made of, no configs themselves
# Former file names: one flat folder, the data set behind an underscore.
ENDINGS = {"digit_scenes": "_digit_scenes", "imagenet": "_in1k", "yfcc": "_yfcc", "mixture": ""}
FINE_TUNING = {
    "cim_resnet50": "finetune_cim_resnet50_in1k",
    "cim_vit_b16": "finetune_cim_vit_b16_in1k",
    "digit_scenes": "finetune_digit_scenes",
    "linear_vit_b16": "linear_vit_b16_in1k",
    "vit_b16": "finetune_vit_b16_in1k",
}

# What `m3i finetune --recipe` stands for.
RECIPES = {
    "small": "finetune/small",
    "light": "finetune/light",
    "segmentation": "finetune/segmentation",
    "depth": "finetune/depth",
    "pose": "finetune/pose",
    "detection": "finetune/detection",
    "mae": "finetune/vit_b16:mae",
    "m3i": "finetune/vit_b16:m3i",
    "siamese_im": "finetune/vit_b16:siamese_im",
    "beit": "finetune/beit_vit_b16",
    "cim": "finetune/cim_vit_b16",
    "simmim": "finetune/simmim_vit_b16",
    "swin": "finetune/simmim_swin_v2_b",
    "replknet": "finetune/replknet_31b",
    "internimage": "finetune/internimage_h",
    "resnet": "finetune/cim_resnet50",
    "cog": "finetune/dark_secrets_swin_v2_b:mim_cog",
    "inat": "finetune/dark_secrets_swin_v2_b:mim_inat",
    "k12": "finetune/dark_secrets_swin_v2_b:mim_cifar10",
    "linear": "finetune/linear_vit_b16",
    "linear_mae": "finetune/linear_vit_b16:mae",
    "linear_siamese_im": "finetune/linear_vit_b16:siamese_im",
}


def names() -> dict[str, Path]:
    """Name -> file of every config, such as `imagenet/mae_vit_b16`, sorted."""
    files = sorted(FOLDER.glob("*/[!_]*.py"))
    return {f"{path.parent.name}/{path.stem}": path for path in files if path.parent.name != SHARED}


def find(name: str) -> Path | None:
    """The file of a config by its name or path below any `configs/`; None where there is none.

    A former name answers with the new one in the log.
    """
    wanted = name.removesuffix(".py").removeprefix("./").rpartition("configs/")[2]
    known = names()
    if wanted in known:
        return known[wanted]
    if path := by_former_name(wanted):
        LOG.warning("the config '%s' is now '%s/%s'", name, path.parent.name, path.stem)
    return path


def by_former_name(stem: str) -> Path | None:
    """The file of a config that was called so in the flat folder."""
    return next((path for new, path in names().items() if former(new) == stem), None)


def former(name: str) -> str | None:
    """What a config was called in the flat folder: `imagenet/mae_vit_b16` -> `mae_vit_b16_in1k`.

    None of those that are younger.
    """
    folder, _, stem = name.partition("/")
    if folder == "finetune":
        return FINE_TUNING.get(stem)
    return stem + ENDINGS[folder] if folder in ENDINGS else None
