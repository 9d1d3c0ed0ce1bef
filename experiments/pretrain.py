r"""Pre-trains what a config describes, in a work directory; run again, it goes on where it was.

    python experiments/pretrain.py --workdir runs/first
    python experiments/pretrain.py --config configs/mae_digit_scenes.py \
        --config.optimizer.lr=5e-4 --workdir runs/mae

Exit status: 0 done, 75 asked to leave (saved; run it again), 2 a config that cannot be run, 73 the
work directory is in use, 65 and 74 data or checkpoints that cannot be read (or written).
"""

import pathlib

from absl import flags

from m3i_jax import cli

CONFIGS = pathlib.Path(__file__).parent.parent / "configs"
WORKDIR = flags.DEFINE_string("workdir", "runs/m3i", "Where everything of the run is kept.")
DISTRIBUTED = flags.DEFINE_bool("distributed", False, "One process of many: a pod, a cluster.")


def main() -> int:
    """Checks the config, then trains."""
    from m3i_jax.training.config import Config

    config = Config.of(flags.FLAGS.config)
    import jax

    from m3i_jax.training import blocks, run

    if DISTRIBUTED.value:
        jax.distributed.initialize()
    blocks.check(config)  # before the rest is loaded
    run.check(config)
    from m3i_jax.evaluation.monitor import monitor
    from m3i_jax.training.session import train

    return train(config, WORKDIR.value, watch=monitor)


if __name__ == "__main__":
    cli.run(main, config=str(CONFIGS / "m3i_digit_scenes.py"))
