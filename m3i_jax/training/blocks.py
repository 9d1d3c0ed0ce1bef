"""Refuses blocks of a config that their functions would not take, before anything slow loads."""

from typing import Annotated, NamedTuple

from m3i_jax import build, data
from m3i_jax.augment import photometric
from m3i_jax.build import ConfigError
from m3i_jax.data import captions
from m3i_jax.data.views import crops
from m3i_jax.interop import layouts
from m3i_jax.ranges import CountOrOff, Range
from m3i_jax.texts import Filled, OneOf, PatternOrNone
from m3i_jax.training import optimizer
from m3i_jax.training.assemble import WEIGHTINGS
from m3i_jax.training.config import Config

Images = Annotated[int, Range(1, 2**24, why="features of all of them are in memory")]
Branch = Annotated[str, OneOf("ema", "online")]  # of a work directory
Layout = Annotated[str, OneOf(layouts.AUTO, *(layout.name for layout in layouts.LAYOUTS))]


class Log(NamedTuple):
    """config.log: steps from one line to the next, and from one set of pictures; 0 = none."""

    every: CountOrOff = 50
    images: CountOrOff = 0


class Saves(NamedTuple):
    """config.checkpoint: interval, newest steps to keep, multiples to keep for ever; 0 = none."""

    every: CountOrOff = 1000
    keep: Annotated[int, Range(2, 10_000, why="one that is damaged leaves another")] = 2
    keep_every: CountOrOff = 0


class Monitor(NamedTuple):
    """config.monitor: interval in steps (0 = off), images in the bank, queries, neighbours.

    size: side of the images, 0 = config.image.  ratio: of the short side that is kept, see
    `pipeline.epoch`.
    """

    every: CountOrOff = 0
    bank: Images = 1000
    queries: Images = 500
    k: Images = 20
    size: Annotated[int, Range(0, 4096)] = 0
    ratio: Annotated[float, Range(0.1, 1)] | None = None


class Source(NamedTuple):
    """A block of config.weights: a work directory or a file, and what to take of it.

    branch: of a work directory.  tower: its name there.
    layout: of a file (interop.layouts).  ignore: pattern of parameters that it may have in excess,
      and of fields that may be other than what is said beside it.
    """

    path: Filled
    branch: Branch = "ema"
    tower: Filled = "image"
    layout: Layout = layouts.AUTO
    ignore: PatternOrNone = ""


def check(config: Config) -> None:
    """Raises ConfigError for keys and values that no function takes, in what `run.check` leaves.

    The data alone can take minutes to open, and orbax and grain a second to import.
    """
    named = {
        "optimizer": (optimizer.offered(), optimizer.STEPS),
        "weighting": (WEIGHTINGS, ()),
        "data": (data.SOURCES, data.GIVEN),
    }
    for name, (functions, given) in named.items():
        block, what = getattr(config, name), f"config.{name}"
        fn, kwargs = build.choose(functions, block, what=what)
        build.check(fn, kwargs, what=what, given=given)
    words = dict(config.captions)
    read = captions.load if words.pop("file", None) else captions.train
    plain = [
        ("log", Log, config.log, ()),
        ("checkpoint", Saves, config.checkpoint, ()),
        ("monitor", Monitor, config.monitor, ()),
        ("captions", read, words, ("captions", "path")),
    ]
    plain += [(f"weights.{tower}", Source, block, ()) for tower, block in config.weights.items()]
    seen = ("key", "images", "normalize")
    plain += [(f"augment.{v}", photometric, block, seen) for v, block in config.augment.items()]
    for name, fn, block, given in plain:
        build.check(fn, block, what=f"config.{name}", given=given)
    given = dict(size=config.image, views=("a", "b"), local=0)  # the method says which views
    build.call(crops.Crops, config.crops, what="config.crops", **given)
    _check_numbers(config)


def _check_numbers(config: Config) -> None:
    """Refuses numbers that contradict each other."""
    monitor = build.call(Monitor, config.monitor, what="config.monitor")
    if monitor.every and monitor.k > monitor.bank:
        raise ConfigError(
            f"config.monitor.k is {monitor.k}, expected at most its bank of {monitor.bank} images"
        )
    saves = build.call(Saves, config.checkpoint, what="config.checkpoint")
    if saves.keep_every and not saves.every:
        raise ConfigError(
            f"config.checkpoint.keep_every is {saves.keep_every}, but nothing is kept: every is 0"
        )
    if config.captions.get("file", None) == "":
        raise ConfigError("config.captions.file is empty, expected a path, or None to train one")
