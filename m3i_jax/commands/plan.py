r"""What a config would run, without data, memory or compilation: parts, parameters, bytes.

    python experiments/plan.py --config configs/imagenet/m3i_vit_b16.py
    python experiments/plan.py --config configs/imagenet/m3i_vit_b16.py --devices 64 \
        --config.mesh.fsdp=8

    python experiments/plan.py --config configs/imagenet/m3i_vit_b16.py --topology=v5e:4x4

The last compiles the step for these chips, which need not be here (it takes minutes, and the
compiler of jax[tpu]): what fits, and what bounds its speed.

Shapes are checked as a run would check them: one step is traced on the config's own batch. What a
start would warn of is warned of here; weights that are not there yet are no hindrance.
"""

import logging
from typing import Annotated

from absl import flags
from ml_collections import ConfigDict

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import text, whole
from m3i_jax.ranges import Range
from m3i_jax.training.config import Config

LOG = logging.getLogger(__name__)
DEVICES = whole(
    "devices",
    1,
    "Devices to plan for; none of them is needed.",
    limits=Annotated[int, Range(1, 4096)],
)
TOPOLOGY = text(
    "topology",
    None,
    "TPUs to compile the step for ahead of time, such as v5e:2x4, v5p:2x2x2, v6e:4x4.",
)


def main() -> None:
    """Assembles the run on abstract devices and prints it."""
    import jax

    from m3i_jax.training.planning import ahead
    from m3i_jax.training.planning.plan import doubts, plan

    config, count = Config.of(flags.FLAGS.config), DEVICES.value
    jax.config.update("jax_platforms", "cpu")
    if TOPOLOGY.value and count > 1:
        raise ConfigError("--devices and --topology both say how many chips there are; give one")
    chips = ahead.chips(TOPOLOGY.value) if TOPOLOGY.value else ()
    jax.config.update("jax_num_cpu_devices", len(chips) or count)
    for sentence in doubts(config):
        LOG.warning("%s", sentence)
    if chips:
        print("\n".join(ahead.lines(ahead.compiled(config, chips), config.dtype)))
    else:
        print(plan(config))


def show(data: ConfigDict) -> str:
    """The config in words."""
    from m3i_jax.training.show import page

    return page(data)


def run() -> None:
    """The command."""
    cli.run(main, config="digit_scenes/m3i", schema=Config, show=show)
