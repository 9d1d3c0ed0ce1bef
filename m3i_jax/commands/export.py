r"""Exports the image encoder of a work directory as safetensors in another's names + config.json.

python experiments/export.py --workdir runs/m3i
python experiments/export.py --workdir runs/m3i --branch online --to huggingface --output hf
python experiments/export.py --model runs/mae:blocks=9 --to m3i_jax --output mae9

What tells images by labels or texts (table, text tower, heads) lies beside it, in our names, so
that m3i evaluate measures the export as it measures the run. README.md is its model card,
with lines of Python that use it.
"""

import pathlib

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import text, whole
from m3i_jax.ranges import CountOrOff

MODEL = text("model", None, "What m3i evaluate calls so, instead of --workdir.")
WORKDIR = text("workdir", "runs/m3i", "Work directory, or one checkpoint step.")
BRANCH = text("branch", "ema", "ema or online.")
STEP = whole(
    "step", None, "Which checkpoint; the newest sound one if not given.", limits=CountOrOff
)
TO = text("to", "timm", "timm, huggingface, m3i_jax, or a layout of interop.")
OUTPUT = text("output", None, "Folder to write; WORKDIR/export if not given.")


def main() -> None:
    """Restores the branch and writes it."""
    from m3i_jax.evaluation import exported, model_card, models, named
    from m3i_jax.interop import exporting

    if MODEL.value and not OUTPUT.value:
        raise ConfigError("--model needs --output, the folder to write")
    which = dict(branch=BRANCH.value, step=STEP.value)
    if MODEL.value:
        model = named.model(MODEL.value, **which)
        models.module(model)  # refuses what has none
    else:
        model = models.restore(WORKDIR.value, **which)
    folder = pathlib.Path(OUTPUT.value or model.workdir / "export")
    origin = {"branch": model.branch, "step": model.step, "image": model.image}
    origin |= {"note": model.note} if model.note else {}
    origin |= {"crop": model.crop} if model.crop else {}
    config = {"encoder": {"image": model.image, **model.block}, **origin}
    config |= exported.described(model)
    params = model.params["encoders"]["image"]
    layout = exporting.save(folder, params, config, to=TO.value)
    more = f", and {exported.FILE}" if exported.write(folder, model) else ""
    if not model_card.write(folder, model, layout):
        print(f"{folder / model_card.FILE} stays as it is; without it a new one is written")
    print(f"{folder}: branch {model.branch} of step {model.step}, layout {layout}{more}")


def run() -> None:
    """The command."""
    cli.run(main)
