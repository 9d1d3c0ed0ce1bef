r"""What a step of every method costs at ViT-B/16 and 224 pixels, for the site's page of methods.

    python docs/costs.py

writes docs/costs.json: model FLOPs of an image, counted on the step of the published config with
its encoder exchanged for ViT-B/16 where it has another, and the same over those of the supervised
`classification`. Nothing is allocated; it takes two minutes of processor time.
"""

import json
import pathlib
import sys
from collections.abc import Mapping

import jax

from m3i_jax import config_file, methods, shipped
from m3i_jax.build import UserError
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import flops

FILE = pathlib.Path(__file__).parent / "costs.json"
# Methods whose config goes by another name: the forms of M3I's Table 2.
FORMS = {"auto_encoder": "a", "global_distillation": "c", "mim_global": "f",
         "novel_view_synthesis": "g", "siamese_im_pixel": "j"}  # fmt: skip


def published(name: str) -> str | None:
    """The config of a method with the published recipe, of ViT-B/16 where there is one."""
    if name in FORMS:
        return f"imagenet/table2_vit_b16:{FORMS[name]}"
    there = [f"{place}/{name}_{encoder}" for place in ("imagenet", "yfcc")
             for encoder in ("vit_b16", "vit_s16", "resnet50")]  # fmt: skip
    return next((config for config in there if config in shipped.names()), None)


def of(name: str) -> dict[str, float | str] | None:
    """{config, gflops} of a method; None without a published config."""
    if (file := published(name)) is None:
        return None
    data = config_file.load(file)
    data.image = 224
    if "vit_b16" not in file:
        data.encoder = {"name": "vit_b16"}
    config = Config.of(data)
    run = assemble(config, images=config.epoch_size or 1_281_167)
    return {"config": file, "gflops": round(flops.per_image(run).model / 1e9, 1)}


def every() -> dict[str, Mapping]:
    """{method: what it costs}, those that cannot be counted left out and said."""
    costs = {}
    for name in methods.PUBLISHED:
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


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    FILE.write_text(json.dumps(every(), indent=1) + "\n")
