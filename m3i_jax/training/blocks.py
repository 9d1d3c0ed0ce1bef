"""Refuses blocks of a config that their functions would not take, before anything slow loads."""

from typing import Annotated, NamedTuple

from m3i_jax import build, data
from m3i_jax.augment import photometric
from m3i_jax.data import captions
from m3i_jax.data.views import crops, rand_augment
from m3i_jax.ranges import Count, CountOrOff, PositiveShare, Range
from m3i_jax.training import optimizer
from m3i_jax.training.config import Config
from m3i_jax.training.run import WEIGHTINGS


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
    bank: Count = 1000
    queries: Count = 500
    k: Count = 20
    size: Annotated[int, Range(0, 4096)] = 0
    ratio: PositiveShare | None = None


class Source(NamedTuple):
    """A block of config.weights: a work directory or a file, and what to take of it.

    branch: of a work directory.  tower: its name there.
    layout: of a file (interop.layouts).  ignore: pattern of parameters that it may have in excess,
      and of fields that may be other than what is said beside it.
    """

    path: str
    branch: str = "ema"
    tower: str = "image"
    layout: str = "auto"
    ignore: str = ""


def check(config: Config) -> None:
    """Raises ConfigError for keys and values that no function takes, in what `run.check` leaves.

    The data alone can take minutes to open, and orbax and grain a second to import.
    """
    steps = ("params", "batch", "total", "warmup")
    named = {
        "optimizer": (optimizer.offered(), steps),
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
        ("crops", crops.Crops, config.crops, ("size", "views", "local")),
        ("captions", read, words, ("captions", "path")),
    ]
    if (changes := config.crops.get("rand_augment")) is not None:
        plain.append(("crops.rand_augment", rand_augment.RandAugment, changes, ()))
    plain += [(f"weights.{tower}", Source, block, ()) for tower, block in config.weights.items()]
    seen = ("key", "images", "normalize")
    plain += [(f"augment.{v}", photometric, block, seen) for v, block in config.augment.items()]
    for name, fn, block, given in plain:
        build.check(fn, block, what=f"config.{name}", given=given)
