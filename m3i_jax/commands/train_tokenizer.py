r"""Trains a tokenizer (VQ-KD): the words that BEiT and BEiT v2 predict of hidden patches.

    m3i pretrain --config digit_scenes/classification --workdir runs/classification
    m3i train_tokenizer --workdir runs/tokenizer
    m3i pretrain --config digit_scenes/beit --workdir runs/beit

The first command makes the teacher. As `m3i pretrain`, with another default config and a word at
the end: how much of the codebook is in use on held-out images.
"""

import pathlib

from absl import flags

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place
from m3i_jax.command_flags import text
from m3i_jax.commands import _training as training
from m3i_jax.training.config import Config

WORKDIR = text("workdir", "runs/tokenizer", "Where everything of the run is kept.")


def main() -> int:
    """Trains, then looks at the codebook."""
    workdir = pathlib.Path(WORKDIR.value)
    teacher = flags.FLAGS.config.weights.get("teacher", {}).get("path", "untrained")
    started = place.folder(workdir).exists()  # then the teacher is in the checkpoint
    if not (started or teacher == "untrained" or pathlib.Path(teacher).exists()):
        raise ConfigError(
            f"the teacher of the tokenizer, '{teacher}', is not there yet; this makes it: "
            f"m3i pretrain --config digit_scenes/classification --workdir {teacher}"
        )
    if status := training.train(Config.of(flags.FLAGS.config), workdir):
        return status
    from m3i_jax.analysis import codebook

    usage = codebook.usage(workdir)
    print(
        f"{usage.used} of {usage.vocabulary} visual tokens in use on {usage.patches} held-out "
        f"patches, worth {usage.effective:.1f} equally frequent ones\n"
        f"to predict them: --config.weights.tokenizer.path={workdir}"
    )
    return 0


def run() -> None:
    """The command."""
    cli.run(main, config="digit_scenes/vq_kd", schema=Config, show=training.show)
