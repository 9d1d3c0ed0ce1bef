"""What is evaluated and on what: the flags that several commands have in common."""

import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from m3i_jax.build import ConfigError, UserError
from m3i_jax.command_flags import number, one_of, repeated, text, whole
from m3i_jax.commands import _runs as runs
from m3i_jax.ranges import Count, CountOrOff, Kept, Pixels

LOG = logging.getLogger(__name__)
OWN = 0.2  # of training that is held out where --split=train says no share

MODEL = repeated("model", [], "The same as a word: an encoder, see above.")
WORKDIR = text("workdir", None, "The same as --model, of one run.")
DATA = repeated("data", [], "A data set, see above; the run's own if left out.")
SPLIT = one_of("split", "test", ["test", "train"], "Whose images these are.")
BRANCH = text("branch", "ema", "ema or online, of runs whose --model has no #.")
STEP = whole(
    "step", None, "Which checkpoint; the newest sound one if not given.", limits=CountOrOff
)
POOL = one_of(
    "pool",
    None,
    ["mean", "cls", "both"],
    "Patch tokens' mean, class token, or both; cls of files whose class token was trained, else "
    "mean.",
)
IMAGE = whole("image", None, "Side of the images; the model's own if not given.", limits=Pixels)
CROP = number("crop", None, "Share of the short side that is kept; the data's own.", limits=Kept)
BATCH = whole("batch", 128, "Images that are encoded at once.", limits=Count)
CACHE = text("cache", "", "Folder in which features are kept, or none; the user's.", limits=str)


def models(verb: str, *, unread: Callable[[str, Any], Any] | None = None) -> Iterator[Any]:
    """The models, one after another: only one of them is in memory.

    verb: of the command, where none is named, see `_runs.meant`.
    unread: (name, error) -> what stands for one that cannot be read, which else ends it.

    Raises:
      ConfigError: one of them is not there, before the first is read.
    """
    from m3i_jax.training.waiting import live

    with live("loading the code that reads models"):
        from m3i_jax.evaluation import named

    if MODEL.value and WORKDIR.value:
        raise ConfigError("--workdir and --model both say what is evaluated; give --model alone")
    texts = MODEL.value or [WORKDIR.value or runs.meant(verb)]
    for said in texts:
        named.check(said, branch=BRANCH.value, step=STEP.value)
    for said in texts:
        try:
            with live(f"reading {said}"):
                model = named.model(said, branch=BRANCH.value, step=STEP.value, image=IMAGE.value)
        except UserError as error:
            if unread is None:
                raise
            model = unread(said, error)
        else:
            _tell_branch(model)
        yield model


def _tell_branch(model: Any) -> None:
    """Says which parameters of a run are taken."""
    from m3i_jax.training import branches

    if model.workdir is not None and (which := branches.described(model.branch, model.config)):
        LOG.info("%s is %s", model.name, which)


def data_sets() -> list[Any]:
    """The data sets; [] for those of each model's own run."""
    from m3i_jax.evaluation import datasets

    return [datasets.named(said) for said in DATA.value]


def tested(*, share: float = 0.0, always: bool = False) -> list[Any]:
    """The data sets with a part of training held out, to test on, where there is no test split.

    share: of training; 0 = what is usual for so many images.
    always: tests on this part in any case.
    """
    from m3i_jax.evaluation import datasets

    sets = data_sets()
    if (share or always) and not sets:
        raise ConfigError("--holdout and --split are of --data; name the data, too")
    part = share or (OWN if always else None)
    return [datasets.holding_out(of, share=part, always=always) for of in sets]


def settings() -> dict[str, Any]:
    """Keywords of `Evaluation` that all commands have."""
    from m3i_jax.evaluation import cache

    kept = {"none": None, "": cache.home()}.get(CACHE.value, pathlib.Path(CACHE.value))
    return dict(pool=POOL.value, ratio=CROP.value, batch=BATCH.value, cache=kept)
