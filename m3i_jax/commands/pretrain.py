r"""Pre-trains an encoder on a folder of images, or what a config describes; run again, it goes on.

    m3i pretrain photos/                                # a folder, sorted or not, or a zip of one
    m3i pretrain photos/ --method dino --encoder vit_s16 --minutes 30
    m3i pretrain --data fashion_mnist --epochs 5 --save_config mine.py
    m3i pretrain --config mine.py --config.optimizer.lr=5e-4 --workdir runs/mine
    m3i pretrain --workdir runs/mine                    # goes on with its own config
    m3i pretrain --workdir runs/mine --resume_with "duration=9000 steps"    # for longer

    m3i pretrain --config folder/simclr --config.data.of.root=photos/    # without the rules
    m3i pretrain --config digit_scenes/mae --workdir runs/mae
    m3i pretrain --config digit_scenes/mae --distributed --coordinator=10.0.0.1:1234 \
        --processes=2 --process=0

Of a folder or a source the config is made of the method's recipe, folder/METHOD, and of what is
found there, printed with its reasons, and written by --save_config; at the end encoder, untrained
encoder and pixels are compared. The last line is one process of many; under Slurm, Open MPI or on a
pod --distributed is enough.

Exit status: 0 done, 75 asked to leave (saved; run it again), 2 a config that cannot be run, 73 the
work directory is in use, 65 and 74 data or checkpoints that cannot be read (or written), 70 no
longer finite, 69 another process is gone.
"""

import contextlib
import functools
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict

from m3i_jax import cli, command_flags, config_file
from m3i_jax.build import ConfigError, nearest
from m3i_jax.checkpoints import place
from m3i_jax.command_flags import repeated, text
from m3i_jax.commands import _automatic as automatic
from m3i_jax.commands import _runs as runs
from m3i_jax.commands import _training as training
from m3i_jax.training import going_on
from m3i_jax.training.config import Config

CONFIG = "digit_scenes/m3i"  # where nothing else is said
WORKDIR = text(
    "workdir", None, "Where all of the run is kept; runs/DATA-METHOD, or runs/NAME of a config."
)
RESUME_WITH = repeated(
    "resume_with", [], "KEY=VALUE of the config, changed on purpose in a run that has steps."
)
SAVE = text("save_config", None, "Writes the config to FILE.py or FILE.json; nothing is run.")


def main(*places: str) -> int:
    """Checks the config, then trains; of a folder or a source it says what came of it."""
    config = flags.FLAGS.config.to_dict()
    changed = tuple(going_on.parsed(RESUME_WITH.value))
    values = {flag.name: flag.value for flag in automatic.WISHES}
    wished = automatic.wished(values, places)
    if SAVE.value:
        config_file.written(SAVE.value, config, title="A config of m3i pretrain, to edit.")
        there = f" --workdir {WORKDIR.value}" if WORKDIR.value else ""
        print(f"m3i pretrain --config {SAVE.value}{there}")
        return 0
    name = automatic.workdir(automatic.place(values, places), config["objective"]["name"]) \
        if wished else runs.of_config(config_file.named(sys.argv) or CONFIG)  # fmt: skip
    alone = not training.processes.DISTRIBUTED.value
    folder = WORKDIR.value or runs.placed(name, config, deliberate=changed, alone=alone)
    cli.on_interrupt(said=functools.partial(training.kept, folder, place.steps(folder)))
    status = training.train(Config.of(config), folder, deliberate=changed)
    if wished and not status:
        automatic.compare(folder)
    elif not status:
        automatic.parted(folder)
    return status


def unsaid(argv: Sequence[str], command: contextlib.ExitStack) -> ConfigDict | None:
    """The config of a folder or a source, or of the work directory; None where none is named.

    command: see `automatic.config`.

    Raises:
      ConfigError: a config is named, too, or there is no run to go on with.
    """
    own = command_flags.of(sys.modules[__name__])
    values, words = command_flags.said(own, argv, switches=("show",))
    if (made := automatic.asked(values, words, argv, command)) is not None:
        return made
    if not argv[1:]:
        raise ConfigError(
            "of which images? m3i pretrain FOLDER makes a config for them, --config NAME takes one "
            "that is there (m3i list configs), --workdir RUN goes on with a run"
        )
    if config_file.named(argv) or not values["workdir"]:
        return None
    kept = Path(values["workdir"]) / runs.CONFIG
    if kept.is_file():
        return config_file.read(str(kept))
    if values["resume_with"] or not any(word.startswith("--config.") for word in argv):
        near = [str(run.parent) for run in kept.parent.parent.glob(f"*/{runs.CONFIG}")]
        there = nearest(str(kept.parent), near) if near else ""
        raise ConfigError(
            f"there is no run in '{kept.parent}' to go on with, and a new one is of a folder, m3i "
            f"pretrain FOLDER, or of a config, --config{there}"
        )
    return None


def with_changes(argv: Sequence[str]) -> list[str]:
    """The command line, on which what --resume_with changes is a key of the config like others."""
    values, _ = command_flags.said([RESUME_WITH], argv)
    changes = going_on.parsed(values["resume_with"])
    return [*argv, *(f"--config.{key}={value}" for key, value in changes.items())]


def run() -> None:
    """The command."""
    with contextlib.ExitStack() as command:
        cli.run(
            main,
            config=CONFIG,
            schema=Config,
            show=training.show,
            words=True,
            unsaid=lambda argv: unsaid(argv, command),
            argv=with_changes,
        )
