"""What the batches of a run are made from: its data, its views, its tokeniser, its annotations."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import storage
from m3i_jax.data import captions, fingerprint
from m3i_jax.data.sources.annotation_names import objects
from m3i_jax.data.views import annotated, crops, kinds
from m3i_jax.data.views.annotated import Wanted
from m3i_jax.framework import Method
from m3i_jax.training import advice, agreement
from m3i_jax.training.assemble import Run, check
from m3i_jax.training.config import Config

TOKENIZER = "tokenizer.json"


class Inputs(NamedTuple):
    """Where the batches come from, and the fingerprint of all that decides what they are."""

    source: data.Source
    tokenizer: captions.Captions | None
    crops: kinds.Views
    fingerprint: dict[str, Any]
    annotations: Wanted | None = None


def inputs_of(run: Run, source: data.Source, workdir: Path, *, bound: bool) -> Inputs:
    """What the batches of a run are made from; checks that the data can give what it looks at.

    bound: whether the work directory has steps, and so its own tokeniser.
    """
    config = run.config
    needed = run.method.sources
    if "label" in needed:
        agreement.check_categories(config, len(source.classes), check=check)
    tokenizer = None
    if "text" in needed:
        tokenizer = _tokenizer(config, source, workdir, bound)
        for sizes in agreement.readers(config, run.abstract.params):
            tokenizer.check(**sizes)
    views, local = crops.split_views(run.method.images)
    cut = kinds.of(config.crops, size=config.image, views=views, local=local)
    mark = fingerprint.of(
        source, seed=config.seed, batch=config.batch, crops=cut, tokenizer=tokenizer
    )
    return Inputs(source, tokenizer, cut, mark, wanted_of(run.method, source, config.crops))


def wanted_of(method: Method, source: data.Source, crops_block: Mapping[str, Any]) -> Wanted | None:
    """What the objective reads of what is said of pixels; None where it reads nothing of it.

    crops_block: config.crops, which says how much room objects have.

    Raises:
      ConfigError: the data do not say it, or of other numbers of key points or categories.
    """
    if not (names := method.annotations):
        return None
    room = kinds.room(crops_block)
    room["side"] *= method.outlined
    known = dict(categories=method.said("mask"), kinds=method.said("objects"), **room)
    wanted = replace(Wanted.of(source, *names), **known)
    if wanted.points != (points := method.said("points")):
        raise ConfigError(
            f"the objective has {points} key points, config.objective.points, but records of "
            f"'{source.name}' have {wanted.points}"
        )
    if "objects" in names and wanted.kinds != (kinds_known := len(objects(source))):
        raise ConfigError(
            f"the objective has {wanted.kinds} categories of objects, config.objective.classes, "
            f"but those of '{source.name}' are {kinds_known}"
        )
    annotated.require(source, wanted)
    return replace(wanted, shown=_shown(source)) if method.counted else wanted


def _shown(source: data.Source) -> tuple[float, ...]:
    """How many images show each category of objects."""
    counts = getattr(source, "image_counts", None)
    if counts is None:
        raise ConfigError(
            "config.objective.federated draws categories by how many images show each, which "
            f"'{source.name}' does not say; read a file of COCO's or LVIS's form, config.data.name="
            "'objects', or compare all categories, config.objective.federated=0"
        )
    return tuple(map(float, counts))


def _tokenizer(
    config: Config, source: data.Source, workdir: Path, bound: bool
) -> captions.Captions:
    """The tokeniser kept in the work directory; trained on the captions until steps are bound."""
    path = workdir / TOKENIZER
    block = dict(config.captions)
    file = block.pop("file", None)
    if bound and path.exists():
        tokenizer = captions.load(path)
    else:
        if not any(source.captions()):
            without = advice.switching_off(config, "text", check=check)
            raise ConfigError(
                "the objective predicts texts, but the data set has no captions; put NAME.txt "
                f"beside NAME.jpg, or {without or 'take an objective that reads none'}"
            )
        if file:
            tokenizer = captions.load(file, **block)
        else:
            tokenizer = captions.train(source.captions(), **block)
        if jax.process_index() == 0:
            save(tokenizer, workdir)
    return tokenizer


def save(tokenizer: captions.Captions, workdir: Path) -> None:
    """Keeps the tokeniser in the work directory."""
    with storage.writing(workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        tokenizer.save(workdir / TOKENIZER)
