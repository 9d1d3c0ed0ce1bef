r"""Exports the image encoder of a work directory as safetensors in another's names + config.json.

python experiments/export.py --workdir runs/m3i
python experiments/export.py --workdir runs/m3i --branch online --to huggingface --output hf
"""

import pathlib

from m3i_jax import cli
from m3i_jax.command_flags import text, whole
from m3i_jax.ranges import CountOrOff

WORKDIR = text("workdir", "runs/m3i", "Work directory, or one checkpoint step.")
BRANCH = text("branch", "ema", "ema or online.")
STEP = whole(
    "step", None, "Which checkpoint; the newest sound one if not given.", limits=CountOrOff
)
TO = text("to", "timm", "timm, huggingface, m3i_jax, or a layout of interop.")
OUTPUT = text("output", None, "Folder to write; WORKDIR/export if not given.")


def main() -> None:
    """Restores the branch and writes it."""
    from m3i_jax.evaluation import models
    from m3i_jax.interop import exporting

    model = models.restore(WORKDIR.value, branch=BRANCH.value, step=STEP.value)
    folder = pathlib.Path(OUTPUT.value or model.workdir / "export")
    origin = {"branch": model.branch, "step": model.step, "image": model.config.image}
    origin |= {"note": model.note} if model.note else {}
    config = {"encoder": {"image": model.config.image, **model.config.encoder}, **origin}
    params = model.params["encoders"]["image"]
    layout = exporting.save(folder, params, config, to=TO.value)
    print(f"{folder}: branch {model.branch} of step {model.step}, layout {layout}")


def run() -> None:
    """The command."""
    cli.run(main)
