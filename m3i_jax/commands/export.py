r"""Exports the image encoder of a work directory as safetensors in another's names + config.json.

    m3i export runs/mae
    m3i export runs/mae --branch online --to huggingface --output hf
    m3i export runs/mae:blocks=9 --to m3i_jax --output mae9

What tells images by labels or texts (table, text tower, heads) lies beside it, in our names, and so
does what says something of pixels, so that m3i evaluate measures the export as it measures the run.
README.md is its model card, with lines of Python that use it.
"""

import pathlib

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import text, whole
from m3i_jax.commands import _runs as runs
from m3i_jax.ranges import CountOrOff

MODEL = text("model", None, "The same as a word: what m3i evaluate calls a model.")
WORKDIR = text("workdir", None, "The same as --model, of one run.")
BRANCH = text("branch", "ema", "ema, the average of the parameters, or online, as trained last.")
STEP = whole(
    "step", None, "Which checkpoint; the newest sound one if not given.", limits=CountOrOff
)
TO = text("to", "timm", "timm, huggingface, m3i_jax, or a layout of interop.")
OUTPUT = text("output", None, "Folder to write; of a whole run WORKDIR/export if not given.")


def main() -> None:
    """Restores the branch and writes it."""
    from m3i_jax.training.waiting import live

    with live("loading the code that writes exports"):
        from m3i_jax.checkpoints import weights
        from m3i_jax.evaluation import exported, model_card, models, named, spec
        from m3i_jax.interop import exporting

    if MODEL.value and WORKDIR.value:
        raise ConfigError("--workdir and --model both say what is exported; give --model alone")
    said = MODEL.value or WORKDIR.value or runs.meant("export")
    with live(f"reading {said}"):
        model = named.model(said, branch=BRANCH.value, step=STEP.value)
    models.module(model)  # refuses what has none
    whole = model.branch in weights.BRANCHES and not spec.parsed(said, what="--model")[1]
    if not OUTPUT.value and not whole:
        raise ConfigError(f"'{said}' is no whole run, in which its export could be; give --output, "
                          "the folder to write")  # fmt: skip
    folder = pathlib.Path(OUTPUT.value or model.workdir / "export")
    origin = {"branch": model.branch, "step": model.step, "image": model.image}
    origin |= {"note": model.note} if model.note else {}
    origin |= {"crop": model.crop} if model.crop else {}
    config = {"encoder": {"image": model.image, **model.block}, **origin}
    config |= exported.described(model)
    params = model.params["encoders"]["image"]
    with cli.unbroken():
        layout = exporting.save(folder, params, config, to=TO.value)
        more = f", and {exported.FILE}" if exported.write(folder, model) else ""
        if not model_card.write(folder, model, layout):
            print(f"{folder / model_card.FILE} stays as it is; without it a new one is written")
    print(f"{folder}: branch {model.branch} of step {model.step}, layout {layout}{more}")


def run() -> None:
    """The command."""
    cli.run(main, words=MODEL)
