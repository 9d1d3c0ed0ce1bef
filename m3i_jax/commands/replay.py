r"""Repeats the batch of a step that was left out, and says which of its records stand out.

    m3i replay runs/mae/skipped/step-00000037.json

A run writes such a file for each step whose loss or gradient is not finite, or a spike
(config.spikes). The batch is made again: the same records, crops and masks; the weights are those
of the newest checkpoint before it. Printed are the loss of each term, then and now, and the
records with what each term says of them, those first that are not finite or stand out.
"""

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.commands import _compiled as compiled


def main(*bundles: str) -> None:
    """Replays the step, and prints what was found."""
    if len(bundles) != 1:
        raise ConfigError("m3i replay takes one file, WORKDIR/skipped/step-….json")
    from m3i_jax.training.replay import page, replay

    compiled.keep()
    print(page(replay(bundles[0])))


def run() -> None:
    """The command."""
    cli.run(main, words=True)
