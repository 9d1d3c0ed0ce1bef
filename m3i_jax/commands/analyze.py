r"""Shows and measures a run of CIM: what its generator predicts and what its enhancer makes of it.

    python experiments/analyze.py --workdir runs/cim

Writes cim.png (images, masked, corrupted and repaired) and normalizations.png, and appends the
measures on the test set to results.jsonl.
"""

import pathlib
from typing import Annotated

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import text, whole
from m3i_jax.ranges import CountOrOff, Range, Seed

Few = Annotated[int, Range(1, 256)]
WORKDIR = text("workdir", "runs/cim", "Work directory, or one checkpoint step.")
STEP = whole(
    "step", None, "Which checkpoint; the newest sound one if not given.", limits=CountOrOff
)
SAMPLES = whole("samples", 6, "Images in each picture.", limits=Few)
TEST = whole("test_limit", 0, "Images measured, spread evenly; 0 = all.", limits=CountOrOff)
SEED = whole("seed", 0, "Of masks and samples.", limits=Seed)
OUT = text("out", None, "Folder of the pictures; the work directory if not given.")


def main() -> None:
    """Draws, measures, writes and prints."""
    if OUT.value is not None and not pathlib.Path(OUT.value).is_dir():
        raise ConfigError(f"--out is '{OUT.value}', which is no folder")
    from m3i_jax import pictures
    from m3i_jax.analysis import cim, repair
    from m3i_jax.evaluation import results

    model = cim.restore(WORKDIR.value, step=STEP.value)
    result = cim.measure(model, limit=TEST.value, seed=SEED.value)
    shown = repair.observe(model, images=SAMPLES.value, seed=SEED.value)
    patch = model.trained.network.towers["image"].patch
    folder = pathlib.Path(OUT.value or model.trained.workdir)
    drawn = {
        "cim.png": repair.repairs(shown),
        "normalizations.png": repair.templates(shown.images, patch),
    }
    for name, picture in drawn.items():
        print(pictures.save(picture, folder / name))
    results.write(model.trained.workdir, [result])
    results.show([result])


def run() -> None:
    """The command."""
    cli.run(main)
