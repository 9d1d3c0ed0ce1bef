r"""What a config would run, without data, memory or compilation: parts, parameters, bytes.

    m3i plan --config imagenet/m3i_vit_b16
    m3i plan --config imagenet/m3i_vit_b16 --devices 64 --config.mesh.fsdp=8
    m3i plan photos/ --method dino --epochs 100         # what m3i pretrain photos/ … would run

    m3i plan --config imagenet/m3i_vit_b16 --topology=v5e:4x4

The last compiles the step for these chips, which need not be here (it takes minutes, and the
compiler of jax[tpu]): what fits, and what bounds its speed. By formula, in seconds:

    m3i plan --config imagenet/m3i_vit_b16 --accelerator=H200 \
        --devices=8 --price=3.5

says whether it fits, and which flags would make it, and what the whole recipe takes at least.

Shapes are checked as a run would check them: one step is traced on the config's own batch. What a
start would warn of is warned of here; weights that are not there yet are no hindrance.
"""

import contextlib
import logging
import sys
from collections.abc import Sequence
from typing import Annotated

from absl import flags
from ml_collections import ConfigDict

from m3i_jax import cli, command_flags
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import number, one_of, text, whole
from m3i_jax.commands import _automatic as automatic
from m3i_jax.ranges import Range
from m3i_jax.training.config import Config
from m3i_jax.training.planning.peaks import NAMES

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
ACCELERATOR = one_of(
    "accelerator", None, tuple(NAMES), "Of which --devices are planned for, by formula."
)
PRICE = number(
    "price",
    None,
    "Of an accelerator for an hour, in any currency.",
    limits=Annotated[float, Range(0, 1e6)] | None,
)


def main(*places: str) -> None:
    """Assembles the run on abstract devices and prints it."""
    import jax

    from m3i_jax.training.planning.forecast import forecast
    from m3i_jax.training.planning.plan import doubts, plan

    config, count = Config.of(flags.FLAGS.config), DEVICES.value
    jax.config.update("jax_platforms", "cpu")
    if TOPOLOGY.value and count > 1:
        raise ConfigError("--devices and --topology both say how many chips there are; give one")
    if TOPOLOGY.value and ACCELERATOR.value:
        raise ConfigError("--topology compiles and --accelerator is by formula; give one of them")
    if TOPOLOGY.value:
        return _compiled(config)
    jax.config.update("jax_num_cpu_devices", count)
    for sentence in doubts(config):
        LOG.warning("%s", sentence)
    name = ACCELERATOR.value
    print(forecast(config, name, count, price=PRICE.value) if name else plan(config))


def _compiled(config: Config) -> None:
    """Compiles for the chips of --topology, and prints what that says."""
    import jax

    from m3i_jax.training.planning import ahead, estimate, recipe
    from m3i_jax.training.planning.plan import doubts

    chips = ahead.chips(TOPOLOGY.value)
    jax.config.update("jax_num_cpu_devices", len(chips))
    for sentence in doubts(config):
        LOG.warning("%s", sentence)
    found = ahead.compiled(config, chips)
    lines = ahead.lines(found, config.dtype)
    if times := found.times(config.dtype):
        run = estimate.traced(config)
        whole = recipe.recipe(config, run, max(times.values()), found.chips)
        lines += recipe.lines(config, run, whole, PRICE.value)
    print("\n".join(lines))


def show(data: ConfigDict) -> str:
    """The config in words."""
    from m3i_jax.training.show import page

    return page(data)


def unsaid(argv: Sequence[str], command: contextlib.ExitStack) -> ConfigDict | None:
    """The config of a folder or a source, as of m3i pretrain; None where none is named.

    command: see `automatic.config`.
    """
    own = command_flags.of(sys.modules[__name__])
    values, words = command_flags.said(own, argv, switches=("show",))
    made = automatic.asked(values, words, argv, command)
    return made and counted(made)


def counted(made: ConfigDict) -> ConfigDict:
    """The config with the number of its images, and in place of minutes the steps they may hold.

    A plan asks no data, and times nothing.
    """
    from jax.extend import backend

    from m3i_jax.commands import _training as training
    from m3i_jax.data.order import epoch_length
    from m3i_jax.training import pacing, reading

    config = Config.of(made)
    count = epoch_length(reading.read(config, ".", split="train"))
    made.epoch_size = count if "epoch" in config.duration + config.warmup else 0
    made.duration = pacing.supposed(config, training.paces()).duration
    if made.duration != config.duration:
        said = f"{config.duration} are planned as {made.duration}; a run times a few of them"
        print(said, file=sys.stderr, flush=True)
    backend.clear_backends()  # those of the plan are other devices
    return made


def run() -> None:
    """The command."""
    with contextlib.ExitStack() as command:
        cli.run(
            main,
            config="digit_scenes/m3i",
            schema=Config,
            show=show,
            words=True,
            unsaid=lambda argv: unsaid(argv, command),
        )
