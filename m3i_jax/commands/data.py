r"""Looks at a data set before a run: what is in it, what is broken, what crops make of it.

    m3i data photos/
    m3i data tar_shards:root=shards/ --limit=5000 --config imagenet/m3i_vit_b16 --output look/
    m3i data --config digit_scenes/m3i           # the data of a config

What is named is a folder, or a source with its settings as m3i evaluate --data has them; m3i list
sources shows the sources. Every image is decoded; with --limit so many of them, evenly spread.
--config says which crops, augmentation and tokenizer images and captions are held against; without
it these are what m3i pretrain FOLDER takes for such images on this machine. --output gets
index.html, data.json with all figures, and pictures: a contact sheet, masks, depths, boxes and key
points where there are any, and the views.
"""

import contextlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from absl import flags
from ml_collections import ConfigDict

from m3i_jax import cli, command_flags
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import repeated, whole
from m3i_jax.command_flags import text as worded
from m3i_jax.ranges import CountOrOff, Range

Threads = Annotated[int, Range(0, 256)]
DATA = repeated("data", [], "The same as a word: a folder, or a source.")
LIMIT = whole("limit", 0, "Records of a split that are read, evenly spread; 0 = all.",
              limits=CountOrOff)  # fmt: skip
THREADS = whole("threads", 0, "How many read; 0 = the cores that there are.", limits=Threads)
OUTPUT = worded("output", None, "Folder for the page, the figures and the pictures.")
CONFIG, CHANGED = re.compile(r"--?config(=|$)"), re.compile(r"--?config\.")


def main(*places: str) -> None:
    """Looks at every data set that is named, or at that of the config."""
    named, held = [*places, *DATA.value], any(map(CONFIG.match, sys.argv))
    from m3i_jax.training import schema
    from m3i_jax.training.config import Config

    config = Config.of(flags.FLAGS.config)
    schema.check(config)
    if OUTPUT.value:
        check_output(Path(OUTPUT.value))
    for number, name in enumerate(named or [None]):
        with contextlib.ExitStack() as command:
            own = config if held or not number else Config.of(chosen(name, command))
            look(name, own)


def chosen(name: str, command: contextlib.ExitStack) -> ConfigDict:
    """The config by which m3i pretrain takes a data set.

    command: in which a folder is listed once.
    """
    from m3i_jax.commands import _automatic as automatic

    return ConfigDict(automatic.choose(name, command, method=automatic.DEFAULT).made.config)


def unsaid(argv: Sequence[str], command: contextlib.ExitStack) -> ConfigDict | None:
    """The config of the first data set that is named; None where a config is.

    command: see `chosen`.

    Raises:
      ConfigError: nothing is named, or more than what is asked for is of.
    """
    values, words = command_flags.said(command_flags.of(sys.modules[__name__]), argv)
    named, held = [*words, *values["data"]], any(map(CONFIG.match, argv))
    if not named and not held:
        raise ConfigError("name what is looked at: m3i data FOLDER, a source, or --config=FILE")
    if len(named) > 1 and values["output"]:
        raise ConfigError(f"--output is of one data set, and {len(named)} are named")
    if len(named) > 1 and not held and any(map(CHANGED.match, argv)):
        raise ConfigError(
            f"--config.KEY=VALUE changes one config, and each of {len(named)} data sets has its "
            "own; name one, or --config"
        )
    return None if held else chosen(named[0], command)


def look(name: str | None, config: Any) -> None:
    """Looks at a data set, prints what is found, and writes it where --output says.

    name: None is the data of the config.
    """
    from m3i_jax.analysis.survey.text import text as said
    from m3i_jax.data.survey.doubts import doubts
    from m3i_jax.data.survey.figures import figures

    sources = opened(name, config)
    if OUTPUT.value:
        Path(OUTPUT.value).mkdir(parents=True, exist_ok=True)
    splits = looked(sources)
    title = name or str(config.data.get("root", config.data["name"]))
    survey = figures(title, splits, crop=config.image, tokenizer=tokenizer(splits, config))
    sentences = doubts(survey, allowed=config.unreadable)
    print(said(survey, sentences), flush=True)
    if OUTPUT.value:
        print(f"\n{write(Path(OUTPUT.value), survey, sentences, splits[0].source, config)}")


def opened(name: str | None, config: Any) -> dict[str, Any]:
    """The splits that there are, by their names."""
    from m3i_jax import data
    from m3i_jax.data.sources.protocol import NoSplit
    from m3i_jax.evaluation import datasets

    block = config.data if name is None else sorted_as_it_is(datasets.block(name), name, config)
    train = data.source(block, split="train")
    try:
        return {"train": train, "test": data.source(block, split="test", classes=train.classes)}
    except NoSplit:
        return {"train": train}


def sorted_as_it_is(block: dict[str, Any], name: str, config: Any) -> dict[str, Any]:
    """The block of a folder, of which as many images have a label as are sorted.

    config: of the folder, which knows that, or another one.
    """
    from m3i_jax.commands import _automatic as automatic

    own = config.data.get("of", config.data)  # where a part is held out
    if block["name"] != "image_folder" or "labels" in block:
        return block
    return own if own.get("root") == block["root"] else automatic.looked_at(name)[0]


def looked(sources: dict[str, Any]) -> list[Any]:
    """Reads each split once."""
    from m3i_jax.data import cores
    from m3i_jax.data.survey.split import looked_at
    from m3i_jax.evaluation import progress

    splits = []
    for split, source in sources.items():
        total = min(LIMIT.value or len(source), len(source))
        tick = progress.ticker(f"reading {split}, image", total=total)
        settings = dict(limit=LIMIT.value, threads=THREADS.value or cores.usable(), tick=tick)
        splits.append(looked_at(source, split, **settings))
    return splits


def tokenizer(splits: list[Any], config: Any) -> Any:
    """The tokenizer of the config, trained on the captions of training; None without any."""
    from m3i_jax.data import captions

    texts = [text for own in splits[0].captions for text in own]
    block = dict(config.captions)
    if file := block.pop("file", None):
        return captions.load(file, **block) if texts else None
    return captions.train(texts, **block) if texts else None


def check_output(folder: Path) -> None:
    """Refuses what is there and is none of ours."""
    from m3i_jax.analysis.survey import page

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--output is '{folder}', which is a file; expected a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / page.FIGURES).is_file():
        raise ConfigError(f"--output is '{folder}', which holds other things; name another folder")


def write(folder: Path, survey: Any, sentences: list[str], source: Any, config: Any) -> Path:
    """Figures, pictures and the page; returns the path of the page."""
    from m3i_jax.analysis.survey import page, sheets
    from m3i_jax.analysis.survey.annotated import annotated
    from m3i_jax.data.views import crops, kinds
    from m3i_jax.training import assemble

    method = assemble.objective(config)
    views, local = crops.split_views(method.images)
    cut = kinds.of(config.crops, size=config.image, views=views, local=local)
    by_view = assemble.augments(config, method)
    views = sheets.augmented(source, cut, by_view, seed=config.seed)
    drawn = {
        "images": ("Images", sheets.contact_sheet(source)),
        "pixels": ("What some records say of pixels", annotated(source)),
        "views": ("What crops and augmentation make of the first images", views),
    }
    return page.write(folder, survey, sentences, drawn)


def run() -> None:
    """The command."""
    with contextlib.ExitStack() as command:
        cli.run(
            main,
            config="imagenet/m3i_vit_b16",
            words=True,
            unsaid=lambda argv: unsaid(argv, command),
        )
