"""A run on named accelerators, by formula: whether it fits, what bounds it, what it takes."""

from collections.abc import Mapping

from m3i_jax.build import ConfigError
from m3i_jax.parallel import sharding
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate, peaks, recipe
from m3i_jax.training.planning.estimate import Layout, Needs, Traced
from m3i_jax.training.planning.peaks import Chip
from m3i_jax.training.planning.remedies import fitting


def forecast(config: Config, name: str, count: int, *, price: float | None = None) -> str:
    """The run on `count` accelerators of a name in `peaks.NAMES`; price: of one for an hour.

    Raises:
      ConfigError: a mesh that does not fit them.
    """
    kind = peaks.NAMES[name]
    chip, layout = peaks.chip(kind, count=count), layout_of(config, count)
    run = estimate.traced(config, tensor=layout.tensor)
    needs = estimate.needs(run, layout, fused=chip.fused)
    seconds = max(needs.seconds(chip, config.dtype).values())
    rows = config.batch / (layout.data * layout.fsdp) / layout.accumulate
    head = f"by formula, not compiled or run: {count} x {kind}, {rows:g} images each at once"
    fits = needs.peak <= estimate.USABLE * chip.memory
    if layout.tensor > 1:
        head += f" of {layout.tensor} chips"
    lines = [head, *of_chip(needs, chip, config.dtype), verdict(fits)]
    if not fits:
        lines += instead(config, run, count, chip, tensor=layout.tensor)
    whole = recipe.recipe(config, run, seconds, count)
    return "\n".join([*lines, *recipe.lines(config, run, whole, price)])


def layout_of(config: Config, count: int) -> Layout:
    """How a config lies on so many chips; refuses what does not divide."""
    block = dict(config.mesh)
    data, fsdp, tensor = sharding.axes(count=count, **block)
    ways = data * fsdp * config.accumulate
    if config.batch % ways:
        raise ConfigError(f"a batch of {config.batch} does not divide over {ways} devices and "
                          "micro-batches")  # fmt: skip
    return Layout(data, fsdp, block.get("zero1", False), config.accumulate, tensor)


def of_chip(needs: Needs, chip: Chip, dtype: str) -> list[str]:
    """Memory by what holds it, and the least time by what takes it."""
    times = needs.seconds(chip, dtype)
    memory = f"{needs.peak / 2**30:.2f} of {chip.memory / 2**30:.0f} GiB: {largest(needs.memory)}"
    rows = ("memory", memory), time(times), links(needs.sent, times)
    return [f"  {name:<18} {words}" for name, words in rows]


def time(times: Mapping[str, float]) -> tuple[str, str]:
    """What bounds a step, as a name and words. times: see `Needs.seconds`."""
    spans = ", ".join(f"{1e3 * t:.1f} ms of {name}" for name, t in times.items())
    share = 100 * times["products"] / max(times.values())
    return "time", f"{spans}: at most {share:.0f} % of the peak rate"


def links(sent: float, times: Mapping[str, float]) -> tuple[str, str]:
    """Bytes that a chip sends, and how much of a step they take at worst."""
    share = 100 * estimate.waiting(times)
    return "links", f"{sent / 1e9:.3f} GB sent: {share:.0f} % of a step, if none of it overlaps"


def largest(memory: Mapping[str, float]) -> str:
    """What takes most, the largest first."""
    parts = sorted(memory.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {size / 2**30:.2f}" for name, size in parts if size >= 2**20)


def verdict(fits: bool) -> str:
    """Whether it fits."""
    words = "fits" if fits else "does not fit"
    return f"  {'verdict':<18} {words} into {100 * estimate.USABLE:.0f} % of the memory"


def instead(config: Config, run: Traced, count: int, chip: Chip, *, tensor: int = 1) -> list[str]:
    """What would fit, as flags. run: the config as it is, traced for so many along `tensor`."""
    again = lambda remat: estimate.traced(config, remat=remat, tensor=tensor)  # noqa: E731
    trace = lambda remat: again(remat) if remat else run  # noqa: E731
    found = fitting(config, count, chip, trace=trace, tensor=tensor)
    if found is None:
        return [f"  {'what would':<18} nothing that was tried: a smaller config.batch, or others"]
    size = f"{found.needs.peak / 2**30:.2f} GiB"
    return [f"  {'what would':<18} {' '.join(found.flags)}  ({size})"]
