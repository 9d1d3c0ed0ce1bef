r"""Pre-trains what a config describes, in a work directory; run again, it goes on where it was.

    python experiments/pretrain.py --workdir runs/first
    python experiments/pretrain.py --config configs/digit_scenes/mae.py \
        --config.optimizer.lr=5e-4 --workdir runs/mae

    python experiments/pretrain.py --distributed --coordinator=10.0.0.1:1234 --processes=2 \
        --process=0

The last is one process of many; under Slurm, Open MPI or on a pod --distributed is enough.

Exit status: 0 done, 75 asked to leave (saved; run it again), 2 a config that cannot be run, 73 the
work directory is in use, 65 and 74 data or checkpoints that cannot be read (or written), 70 no
longer finite, 69 another process is gone.
"""

from typing import Any

from absl import flags
from ml_collections import ConfigDict

from m3i_jax import cli
from m3i_jax.command_flags import text
from m3i_jax.commands import _processes as processes
from m3i_jax.training.config import Config

WORKDIR = text("workdir", "runs/m3i", "Where everything of the run is kept.")


def main() -> int:
    """Checks the config, then trains."""
    return train(Config.of(flags.FLAGS.config))


def train(config: Config, *, workdir: Any = None) -> int:
    """Trains what a config describes in --workdir, or another, with all that watches a run."""
    from m3i_jax.training import assemble

    processes.join()
    parts = assemble.check(config)  # before the rest is loaded
    from m3i_jax.analysis.gallery import drawing
    from m3i_jax.analysis.report.live import Live
    from m3i_jax.evaluation.monitor import monitor
    from m3i_jax.evaluation.validation import check, validation
    from m3i_jax.training.session import start

    folder = workdir or WORKDIR.value
    report = Live(folder, config)
    with processes.together():
        watch = lambda run: [  # noqa: E731
            *monitor(run),
            *validation(run),
            *drawing(run),
            *report.hooks(),
        ]
        status = start(parts, folder, watch=watch, before=check)
        report.final()
        return status


def show(data: ConfigDict) -> str:
    """The config in words."""
    from m3i_jax.training.show import page

    return page(data)


def run() -> None:
    """The command."""
    cli.run(main, config="digit_scenes/m3i", schema=Config, show=show)
