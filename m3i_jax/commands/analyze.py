r"""Looks inside encoders: attention, similarity of layers, tokens, and what a run of CIM repairs.

    m3i analyze runs/mae
    m3i analyze runs/mae runs/dino@5000 untrained:vit_b16 --data fashion_mnist \
        --measure attention_distance,rank:views=False,cka
    m3i analyze runs/cim --measure cim:samples=6

Models and data are named as by `m3i evaluate`; `m3i list measures` shows the measures. All that are
asked for together share one pass over the images. Every finding is a line of analysis.jsonl, with
its pictures in analysis/ beside it: in the work directory of a run, else in this folder, or where
--out says. `m3i report` draws them. --distributed is one process of many, as of m3i pretrain.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import repeated, text, whole
from m3i_jax.commands import _compiled as compiled
from m3i_jax.commands import _processes as processes
from m3i_jax.commands import _subject as subject
from m3i_jax.ranges import CountOrOff

ALL = "all"
MEASURE = repeated("measure", [ALL], "NAME,NAME:SETTING=VALUE,...; all that apply.")
TEST = whole(
    "test_limit", 1000, "Images that are looked at, spread evenly; 0 = all.", limits=CountOrOff
)
TRAIN = whole(
    "train_limit",
    5000,
    "Training images that measures of accuracy learn from, spread evenly; 0 = all.",
    limits=CountOrOff,
)
OUT = text("out", None, "Folder of the findings, see above.")


def main() -> None:
    """Looks into every model by every measure; writes and prints what was found."""
    from m3i_jax.evaluation import spec

    blocks = [block for said in MEASURE.value for block in spec.blocks(said, what="--measure")]
    if not blocks:
        raise ConfigError("--measure names none; m3i list measures shows them")
    if OUT.value is not None and not Path(OUT.value).is_dir():
        raise ConfigError(f"--out is '{OUT.value}', which is no folder")
    processes.join()
    from m3i_jax.analysis import measures, run
    from m3i_jax.data.sources import folder_tree
    from m3i_jax.parallel.signals import Preemption

    every = blocks == [{"name": ALL}]
    chosen = measures.every() if every else measures.create(blocks, what="--measure")
    settings = subject.settings() | dict(test_limit=TEST.value, train_limit=TRAIN.value)
    settings |= dict(split=subject.SPLIT.value)
    compiled.keep()
    # Every finding is written when it is known.
    # A folder is listed once, however many ask what is in it.
    with folder_tree.listed_once(), processes.together(), Preemption(holds=False):
        places: dict[str, Any] = {}
        models, on = noting(subject.models("analyze"), places), subject.tested()
        show(run.analyzed(chosen, models, on=on, place=OUT.value, **settings), places)


def noting(models: Iterable[Any], places: dict[str, Any]) -> Iterator[Any]:
    """The models; by name, where the findings of each are kept."""
    for model in models:
        places[model.name] = OUT.value or model.workdir or "."
        yield model


def show(findings: Iterable[Any], places: Mapping[str, Any]) -> None:
    """Prints each finding as it comes; of many processes the first does."""
    import jax

    from m3i_jax.analysis import tables

    for finding in findings:
        if not jax.process_index():
            print(tables.table(finding, place=places[finding.other or finding.model]), flush=True)


def run() -> None:
    """The command."""
    cli.run(main, words=subject.MODEL)
