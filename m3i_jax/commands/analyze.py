r"""Shows and measures a run of CIM: what its generator guesses and what its enhancer makes of it.

    python experiments/analyze.py --workdir runs/cim

Writes cim.png (images, masked, corrupted and repaired) and normalizations.png, and appends the
measures on the test set to results.jsonl.
"""

import pathlib
from typing import Annotated

from absl import flags

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.ranges import CountOrOff, Range, Seed

Few = Annotated[int, Range(1, 256)]
WORKDIR = flags.DEFINE_string("workdir", "runs/cim", "Work directory, or one checkpoint step.")
STEP = flags.DEFINE_integer("step", None, "Which checkpoint; the newest sound one if not given.")
SAMPLES = flags.DEFINE_integer("samples", 6, "Images in each picture.")
TEST = flags.DEFINE_integer("test_limit", 0, "Images measured, spread evenly; 0 = all.")
SEED = flags.DEFINE_integer("seed", 0, "Of masks and samples.")
for flag, limits in ((STEP, CountOrOff), (SAMPLES, Few), (TEST, CountOrOff), (SEED, Seed)):
    cli.hold(flag, limits)
OUT = flags.DEFINE_string("out", None, "Folder of the pictures; the work directory if not given.")


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
