"""What a model is evaluated on: a training and a test set, opened when they are asked for."""

import functools
import hashlib
import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from m3i_jax import data
from m3i_jax.build import ConfigError, likeliest, nearest
from m3i_jax.data import sources
from m3i_jax.data.sources import urls
from m3i_jax.data.sources.folder_labels import NONE, SOME
from m3i_jax.data.sources.held_out import usual
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.subset import Subset, places
from m3i_jax.data.sources.unreadable import NAMED, PREPARED, robust
from m3i_jax.evaluation import spec
from m3i_jax.evaluation.models import Model
from m3i_jax.training import reading

LOG = logging.getLogger(__name__)
LARGEST = 64  # pixels of the side of raw images: what a baseline can be fitted to
MEANS = {
    SOME: "folders are classes, and images beside them have no label",
    NONE: "no folder is taken for a class",
}
OWN = "run"  # how the data of a model's own run are called

Open = Callable[[str, Sequence[str] | None], data.Source]


class Data(NamedTuple):
    """A data set.

    name: in tables.
    open: (split, classes) -> source, "train" or "test"; `classes` are those of the training split,
      with which another one is labelled by name.
    held_out: whether nobody trains on the test split, so that a probe is measured on it.
    """

    name: str
    open: Open
    held_out: bool = True


def of_run(model: Model) -> Data:
    """The data that a run was trained on, broken records forgiven as in training.

    Raises:
      ConfigError: the model is of no run.
    """
    if model.config is None or model.workdir is None:
        raise ConfigError(
            f"'{model.name}' is of no run, so nothing says on which data: give --data, a folder "
            f"or one of {', '.join(data.SOURCES)}"
        )

    def opened(split: str, classes: Sequence[str] | None) -> data.Source:
        return reading.read(model.config, model.workdir, split=split, classes=classes)

    return Data(title(model.config.data), opened)


def block(text: str) -> dict[str, Any]:
    """The block of the data set that a text names: a folder of images, a zip file or a URL of such,
    or a source with its settings.

        photos/   fashion_mnist   digit_scenes:clutter=0,length=500   image_folder:root=photos

    A word that is both is the source where settings follow, or where it needs none.

    Raises:
      ConfigError: there is none such; the message names the nearest.
    """
    name, settings = spec.parsed(text, what="--data")
    folder = Path(name).expanduser().is_dir() or name.lower().endswith(".zip")
    if name in data.SOURCES and not (folder and not settings and _needs_root(name)):
        return {"name": name, **settings}
    if folder or urls.is_remote(name):
        return {"name": "image_folder", "root": name, **settings}
    if Path(name).expanduser().is_file():
        raise ConfigError(
            f"--data: '{name}' is a file; expected a folder of images, a zip of one, or a source "
            f"with its settings, such as tar_shards:root={name}"
        )
    if "/" in name:
        raise ConfigError(f"--data: there is no folder '{name}'")
    beside = [path.name for path in Path().iterdir() if path.is_dir() or path.suffix == ".zip"]
    known = [*data.SOURCES, *beside] if likeliest(name, beside) else data.SOURCES
    raise ConfigError(f"there is no source or folder '{name}'{nearest(name, known)}")


class Sorted(NamedTuple):
    """A data set as strictly sorted as it is.

    block: with the labels that there are.  train: its training split.  test: whether it has one to
    test on.  why: a sentence on the labels that are not taken; "" where all are.
    """

    block: dict[str, Any]
    train: data.Source
    test: bool
    why: str


def as_sorted(block: Mapping[str, Any]) -> Sorted:
    """The data set of a `block` of a command line, as strictly sorted as it is.

    A folder may hold images beside folders of them, which have no label then, or nothing that tells
    classes apart, so that none has one.

    Raises:
      ConfigError: it cannot be opened: why not as one that is all sorted.
    """
    ways = [{}, {"labels": SOME}, {"labels": NONE}] if _may_be_unsorted(block) else [{}]
    refused: list[ConfigError] = []
    for way in ways:
        own = {**block, **way}
        try:
            train = sources.opened(own, split="train", what="--data")
            try:
                test = len(sources.opened(own, split="test", classes=train.classes, what="--data"))
            except NoSplit:
                test = 0
            if len(train.classes) == 1 and len(ways) > 1 and way != ways[-1]:
                raise ConfigError(f"'{train.classes[0]}' is the only class, which tells nothing")
        except ConfigError as error:
            refused.append(error)
            continue
        why = str(refused[-1]).partition(";")[0] if refused else ""
        return Sorted(own, train, bool(test), why and f"{MEANS[way['labels']]}: {why}")
    raise refused[0]


def settled(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block of a command line with as many labels as there are, see `as_sorted`; says which are
    not taken.

    Raises:
      ConfigError: a folder that cannot be opened.
    """
    if not _may_be_unsorted(block):
        return dict(block)
    found = as_sorted(block)
    if found.why:
        LOG.info("%s", found.why)
    return found.block


def _may_be_unsorted(block: Mapping[str, Any]) -> bool:
    return block["name"] == "image_folder" and "labels" not in block


def _needs_root(name: str) -> bool:
    parameter = inspect.signature(data.SOURCES[name]).parameters.get("root")
    return parameter is not None and parameter.default is inspect.Parameter.empty


def named(text: str) -> Data:
    """The data set of a `block`, as strictly sorted as it is, broken records forgiven.

    Raises:
      ConfigError: there is none such.
    """
    of = block(text)
    own = functools.cache(lambda: of_block(settled(of), share=forgiven(of)))
    return Data(text.strip(), lambda split, classes: own().open(split, classes))


def of_block(settings: Mapping[str, Any], *, share: float) -> Data:
    """The data set of a block, of which a `share` of the records may be broken."""

    def opened(split: str, classes: Sequence[str] | None) -> data.Source:
        source = data.source(settings, split=split, classes=classes)
        return robust(source, max_share=share, split=split)

    return Data(title(settings), opened)


def forgiven(block: Mapping[str, Any]) -> float:
    """The share of the records of a data set on a command line that may be broken."""
    return NAMED if block["name"] == "image_folder" else PREPARED


def title(of: Mapping[str, Any]) -> str:
    """A block of a config as it is written on a command line, and what is held out of it."""
    if of.get("name") == "held_out" and isinstance(of.get("of"), Mapping):
        part = f"{100 * of['share']:.3g} %" if "share" in of else "a part"
        return f"{title(of['of'])}, {part} held out"
    rest = ",".join(f"{key}={value}" for key, value in of.items() if key != "name")
    return str(of.get("name", OWN)) + (f":{rest}" if rest else "")


def has_test(of: Data) -> bool:
    """Whether the data have a test split of their own."""
    try:
        of.open("test", of.open("train", None).classes)
    except NoSplit:
        return False
    return True


def tested(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block of a data set, with a part held out where it has no test split.

    The part is that of `holding_out`, and of `m3i pretrain FOLDER`.
    """
    of = Data(title(block), lambda split, classes: data.source(block, split=split, classes=classes))
    if has_test(of):
        return dict(block)
    count = len(of.open("train", None))
    _tell(of.name, round(usual(count) * count), count)
    return {"name": "held_out", "of": dict(block), "share": usual(count)}


def _tell(name: str, held: int, count: int) -> None:
    LOG.info("%s: %d of %d training records are held out to test on", name, held, count)


def holding_out(of: Data, *, share: float | None = None, always: bool = False) -> Data:
    """The data set with a part of its training split held out, spread evenly over it.

    It is the test split where there is none, or `always`; no record is in both.

    Args:
      of: the data set.
      share: of the training split that is held out, above 0 and below 1; None = the usual one, by
        which `m3i pretrain FOLDER` never trains on these images, either.
      always: also where there is a test split, which then nobody reads.
    """

    @functools.cache
    def parts() -> tuple[data.Source, data.Source]:
        source = of.open("train", None)
        part = usual(len(source)) if share is None else share
        count = round(part * len(source))
        if not 0 < count < len(source):
            raise ConfigError(
                f"--holdout={part:g} of {len(source)} records leaves none to train or to test on"
            )
        held = places(len(source), count)
        rest = np.setdiff1d(np.arange(len(source)), held)
        _tell(of.name, count, len(source))
        return Subset(source, rest), Subset(source, held)

    @functools.cache
    def own() -> bool:
        return not always and has_test(of)

    def opened(split: str, classes: Sequence[str] | None) -> data.Source:
        return of.open(split, classes) if own() else parts()[split == "test"]

    return Data(of.name, opened)


def of_training(of: Data) -> Data:
    """The data set whose training images are looked at: they are its test split, too."""
    return Data(f"{of.name} (training)", lambda split, classes: of.open("train", None), False)


def side(source: data.Source) -> int:
    """Side of the images of a source, as far as the first one tells: its short one, 64 at most."""
    return min(*source[0].image.shape[:2], LARGEST)


def digest(source: data.Source) -> str:
    """Of the records of a source: its name, classes, length and fingerprint, and what it says of
    the contents of its files and of its labels, whichever of them are taken."""
    said = {
        "name": source.name,
        "classes": list(source.classes),
        "fingerprint": source.fingerprint(),
        "contents": getattr(source, "contents", dict)(),
        "length": len(source),
    }
    sha = hashlib.sha256(json.dumps(said, sort_keys=True).encode("utf-8", "surrogateescape"))
    if (labels := getattr(source, "labels", None)) is not None:
        sha.update(np.ascontiguousarray(labels, "<i8"))
    return sha.hexdigest()[:16]
