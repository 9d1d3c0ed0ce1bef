"""Studies of encoders that are cut behind a block: flags of `m3i study`, and what they ask for."""

import pathlib
from collections.abc import Callable
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.command_flags import repeated, switch, texts, whole
from m3i_jax.commands import _subject as subject
from m3i_jax.ranges import Count

TASK = repeated("task", ["linear,knn"], "What is measured of cut encoders, as by m3i evaluate.")
BLOCKS = texts("blocks", [], "Numbers of blocks that are kept; every one if empty.")
STAGE = whole("stage", None, "Of a SwinV2, from 1: whose blocks are counted.", limits=Count)
SHUFFLED = switch("shuffled", "Sampled blocks in the order of the draw, not of the encoder.")

LAYERS, RANDOM = "layers", "random_weights"
TITLES = {LAYERS: "The first blocks alone", RANDOM: "Sampled blocks in place of the first ones"}
STUDIES = tuple(TITLES)


def points(
    study: str,
    workdir: pathlib.Path,
    *,
    branch: str,
    draws: int,
    leave: Callable[[], int],
    **options: Any,
) -> list[Any]:
    """What tasks find of every cut of every model; what the work directory has is not repeated."""
    from m3i_jax.evaluation import named, spec, tasks
    from m3i_jax.studies import cuts

    blocks = [block for said in TASK.value for block in spec.blocks(said, what="--task")]
    chosen = tasks.create(blocks, what="--task")
    if not chosen or not subject.MODEL.value:
        raise ConfigError(f"--study={study} needs a --model to cut and a --task to measure it by")
    on = subject.tested()
    if len(on) > 1:
        raise ConfigError(f"--study={study} is of one data set; --data is said {len(on)} times")
    if study == RANDOM and len(subject.MODEL.value) > 1:
        raise ConfigError(f"--study={study} is of one model; --model is said several times")
    counts = [_number(word) for word in BLOCKS.value]
    measured = []
    for said in subject.MODEL.value:
        settings = dict(step=subject.STEP.value, image=subject.IMAGE.value)
        model = named.model(said, branch=branch, **settings)
        if study == LAYERS:
            cut = cuts.layers(model, counts, stage=STAGE.value)
        else:
            drawn = dict(draws=draws, stage=STAGE.value, shuffled=SHUFFLED.value)
            cut = cuts.random_weights(model, counts, **drawn)
        where = dict(place=workdir, on=on[0] if on else None, leave=leave)
        measured += cuts.measured(cut, chosen, **where, **subject.settings(), **options)
    return measured


def write(study: str, measured: list[Any], workdir: pathlib.Path) -> str:
    """The table and the picture, in the work directory; returns the table."""
    from m3i_jax import ordinary
    from m3i_jax.studies import curves

    text = curves.markdown(measured)
    ordinary.written(workdir / "table.md", (text + "\n").encode())
    curves.plot(measured, workdir / "curves.png", title=TITLES[study])
    return text


def _number(word: str) -> int:
    if not word.strip().isdigit():
        raise ConfigError(f"--blocks is '{word}', expected whole numbers with commas between them")
    return int(word)
