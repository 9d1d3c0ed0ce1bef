r"""Exports the image encoder of a work directory as safetensors in timm's names + config.json.

python experiments/export.py --workdir runs/m3i
python experiments/export.py --workdir runs/m3i --branch online --output runs/m3i/online
"""

import pathlib

from absl import flags

from m3i_jax import cli

WORKDIR = flags.DEFINE_string("workdir", "runs/m3i", "Work directory, or one checkpoint step.")
BRANCH = flags.DEFINE_string("branch", "ema", "ema or online.")
STEP = flags.DEFINE_integer("step", None, "Which checkpoint; the newest sound one if not given.")
OUTPUT = flags.DEFINE_string("output", None, "Folder to write; WORKDIR/export if not given.")


def main() -> None:
    """Restores the branch and writes it."""
    from m3i_jax.evaluation import subjects
    from m3i_jax.interop import timm

    subject = subjects.restore(WORKDIR.value, branch=BRANCH.value, step=STEP.value)
    folder = pathlib.Path(OUTPUT.value or subject.workdir / "export")
    origin = {"branch": subject.branch, "step": subject.step, "image": subject.config.image}
    encoder = {"image": subject.config.image, **subject.config.encoder}
    timm.save(folder, subject.params["encoders"]["image"], {"encoder": encoder, **origin})
    print(f"{folder}: branch {subject.branch} of step {subject.step}")


if __name__ == "__main__":
    cli.run(main)
