"""What every probe of a work directory is told on its command line, and how it answers."""

from collections.abc import Callable

from absl import flags

from m3i_jax import cli
from m3i_jax.ranges import CountOrOff

WORKDIR = flags.DEFINE_string("workdir", "runs/m3i", "Work directory, or one checkpoint step.")
BRANCH = flags.DEFINE_string("branch", "ema", "ema or online.")
STEP = flags.DEFINE_integer("step", None, "Which checkpoint; the newest sound one if not given.")
POOL = flags.DEFINE_enum("pool", "mean", ["mean", "cls"], "Patch tokens' mean, or class token.")
BASELINES = flags.DEFINE_bool("baselines", False, "Also the untrained encoder and raw pixels.")
TRAIN = flags.DEFINE_integer("train_limit", 0, "Training images, spread evenly; 0 = all.")
TEST = flags.DEFINE_integer("test_limit", 0, "Test images, spread evenly; 0 = all.")
for flag, limits in ((STEP, CountOrOff), (TRAIN, CountOrOff), (TEST, CountOrOff)):
    cli.hold(flag, limits)


def evaluate(measure: Callable) -> None:
    """Measures every subject, see `m3i_jax.evaluation.subjects`; writes and prints the results."""
    from m3i_jax.evaluation import report, subjects
    from m3i_jax.parallel.signals import Preemption

    with Preemption(holds=False):  # every subject is written when it is measured
        results = subjects.evaluate(
            measure,
            WORKDIR.value,
            branch=BRANCH.value,
            step=STEP.value,
            baselines=BASELINES.value,
            pool=POOL.value,
            train_limit=TRAIN.value,
            test_limit=TEST.value,
        )
    print(report.table(results))
