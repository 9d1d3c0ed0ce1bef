"""Refuses blocks of a config that their functions would not take, before anything slow loads."""

from m3i_jax import build, data
from m3i_jax.augment import photometric
from m3i_jax.data import captions, crops, rand_augment
from m3i_jax.training import optimizer
from m3i_jax.training.config import Config
from m3i_jax.training.run import WEIGHTINGS


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
        ("crops", crops.Crops, config.crops, ("size", "views", "local")),
        ("captions", read, words, ("captions", "path")),
    ]
    if (changes := config.crops.get("rand_augment")) is not None:
        plain.append(("crops.rand_augment", rand_augment.RandAugment, changes, ()))
    seen = ("key", "images", "normalize")
    plain += [(f"augment.{v}", photometric, block, seen) for v, block in config.augment.items()]
    for name, fn, block, given in plain:
        build.check(fn, block, what=f"config.{name}", given=given)
