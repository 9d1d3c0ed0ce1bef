r"""What a step of every method costs at ViT-B/16 and 224 pixels, for the site's page of methods.

    python docs/costs.py            # counts, in a minute of processor time, and writes the table
    python docs/costs.py --table    # writes the table of what was counted

writes docs/costs.json and the table of docs/choosing.md: model FLOPs of an image, counted on the
step of the published config with its encoder exchanged for ViT-B/16 where it has another, and the
same over those of the supervised `classification`. Nothing is allocated.
"""

import json
import pathlib
import sys
import tomllib
from collections.abc import Mapping

import drawn
import jax

from m3i_jax import config_file, methods, shipped
from m3i_jax.build import UserError
from m3i_jax.framework import Method
from m3i_jax.training.assemble import assemble, objective
from m3i_jax.training.config import Config
from m3i_jax.training.planning import flops

FOLDER = pathlib.Path(__file__).parent
FILE, PAGE = FOLDER / "costs.json", FOLDER / "choosing.md"
MARK = "<!-- methods -->"  # what is behind it is written here
SIZES = ("vit_b16", "vit_s16", "resnet50", "vit_l16", "vit_h14", "vit_l14")
# Methods whose config goes by another name: the forms of M3I's Table 2.
FORMS = {"auto_encoder": "a", "global_distillation": "c", "mim_global": "f",
         "novel_view_synthesis": "g", "siamese_im_pixel": "j"}  # fmt: skip
# Recipes of methods that say something of pixels: heads are in them, sizes are 224 here.
DENSE = {
    "segmentation": "ade20k_vit_b16", "depth": "nyu_swin_v2_b", "pose": "coco_pose_vit_b16",
    "mask_rcnn": "coco_vit_b16", "swin_track": "track_swin_v2_b",
    "dino_detector": "coco_dino_resnet50", "mask2former": "ade20k_mask2former_swin_v2_b",
}  # fmt: skip

QUERIES = (
    "dino_detector",
    "mask2former",
)  # whose heads read four maps, which are made of the last one of a ViT


def published(name: str) -> str | None:
    """The config of a method with the published recipe, of ViT-B/16 where there is one."""
    if name in FORMS:
        return f"imagenet/table2_vit_b16:{FORMS[name]}"
    if name in DENSE:
        return f"finetune/{DENSE[name]}"
    there = [f"{place}/{name}_{size}" for place in ("imagenet", "yfcc") for size in SIZES]
    return next((config for config in there if config in shipped.names()), None)


def config(name: str) -> Config | None:
    """The published config of a method, of ViT-B/16 and 224 pixels; None where there is none."""
    if (file := published(name)) is None:
        return None
    data = config_file.load(file)
    data.image = 224
    if name in DENSE:  # whose images are no squares, or larger
        for block, side in ((data.encoder, "image"), (data.crops, "width"), (data.crops, "base")):
            if side in block:
                del block[side]
        data.optimizer = {"name": "adamw", "lr": 1e-4}  # theirs may name stages of another encoder
    if name == "pixio":  # whose squares of 4 do not divide 14 x 14 patches
        data.objective.unit = 2
    if "vit_b16" not in file:
        hiding = {"hide": data.encoder.hide} if data.encoder.get("hide") else {}
        data.encoder = {"name": "vit_b16", **hiding}
        if name in QUERIES:
            data.objective.blocks = "last"
        for head in data.decoders.values():
            if name in QUERIES:
                head.pyramid = "simple"
            if not head.get("embed", True):  # has the width of the encoder (CAPI)
                head.width, head.heads = 768, 12
    return Config.of(data)


def method(name: str) -> Method:
    """A method as its published config has it, or as it is without settings."""
    found = config(name)
    return objective(found) if found else methods.METHODS[name]()


def of(name: str) -> dict[str, float | str] | None:
    """{config, gflops} of a method; None without a published config."""
    if (found := config(name)) is None:
        return None
    run = assemble(found, images=found.epoch_size or 1_281_167)
    return {"config": published(name), "gflops": round(flops.per_image(run).model / 1e9, 1)}


def every() -> dict[str, Mapping]:
    """{method: what it costs}, those that cannot be counted left out and said."""
    costs = {}
    for name in (*methods.PUBLISHED, *DENSE):
        try:
            found = of(name)
        except (UserError, ValueError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        if found:
            costs[name] = found
        print(name, found, file=sys.stderr)
    whole = costs["classification"]["gflops"]
    return {n: c | {"relative": round(c["gflops"] / whole, 2)} for n, c in costs.items()}


def table() -> str:
    """The page of choosing.md: its own words, and a row for each method."""
    rows = [
        "| method | when to use it | passes of an image | FLOPs, of supervised |",
        "|" + "---|" * 4,
    ]
    for name, why in when().items():
        passes = drawn.passes(method(name)) if name != "combine" else "those of its methods"
        cost = known().get(name, {}).get("relative", "")
        rows.append(f"| [`{name}`](methods.md#{name}) | {why} | {passes} | {cost} |")
    return "\n".join([PAGE.read_text().partition(MARK)[0] + MARK, "", *rows, ""])


def when() -> dict[str, str]:
    """When to use each method, in words."""
    return tomllib.loads((FOLDER / "choosing.toml").read_text())


def known() -> dict[str, dict]:
    """What was counted."""
    return json.loads(FILE.read_text())


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    if "--table" not in sys.argv:
        FILE.write_text(json.dumps(every(), indent=1) + "\n")
    PAGE.write_text(table())
