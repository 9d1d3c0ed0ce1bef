r"""Evaluates encoders on frozen features: any model, on any data, by any tasks, in one table.

    m3i evaluate runs/mae --baselines
    m3i evaluate runs/mae runs/mae@5000#online untrained:vit_b16 pixels --data fashion_mnist \
        --task linear,knn
    m3i evaluate vit/model.safetensors mae_vit_b.pth --data photos/ --image 224 \
        --task "linear:recipe=lars,base_lr=100,knn:k=(1,20)" --results found.jsonl

A model is a work directory (its newest checkpoint, @STEP, #online), a checkpoint step, an export, a
file of timm's, transformers' or a reference's, untrained:ENCODER, or pixels; what a file does not
say follows its name, FILE:encoder=swin_v2_b. --data is a folder, or a source with its settings,
digit_scenes:clutter=0; the run's own if left out. --task NAME, or NAME,NAME:SETTING=VALUE,...;
m3i list tasks and m3i list sources show what there is. Each can be given several times. Results go
to results.jsonl, of the work directory or else here, as they are found; m3i report compares files
of them. --distributed is one process of many, as of m3i pretrain.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import number, repeated, switch, text, whole
from m3i_jax.commands import _compiled as compiled
from m3i_jax.commands import _processes as processes
from m3i_jax.commands import _subject as subject
from m3i_jax.ranges import CountOrOff, Range

Share = Annotated[float, Range(0, 1, below=True)]
TASK = repeated("task", ["linear,knn"], "What is measured, see above.")
BASELINES = switch("baselines", "Also the untrained encoder and raw pixels, each once.")
HOLDOUT = number(
    "holdout",
    0.0,
    "Share of training that is held out to test on, where there is no test split (500 images, or a "
    "fifth), or with --split=train (a fifth).",
    limits=Share,
)
TRAIN = whole("train_limit", 0, "Training images, spread evenly; 0 = all.", limits=CountOrOff)
TEST = whole("test_limit", 0, "Test images, spread evenly; 0 = all.", limits=CountOrOff)
RESULTS = text("results", None, "File of the results, see above.")


def main() -> None:
    """Measures every model by every task; writes and prints what was found."""
    blocks = [block for said in TASK.value for block in parsed(said)]
    if not blocks:
        raise ConfigError("--task names no task; m3i list tasks shows them")
    if RESULTS.value and not RESULTS.value.endswith(".jsonl"):
        raise ConfigError(f"--results is '{RESULTS.value}', expected a file that ends in .jsonl")
    processes.join()
    compiled.keep()
    from m3i_jax.data.sources import folder_tree
    from m3i_jax.evaluation import results, run, tasks
    from m3i_jax.parallel.signals import Preemption

    if RESULTS.value:
        results.check(RESULTS.value)
    chosen = tasks.create(blocks, what="--task")
    on = subject.tested(share=HOLDOUT.value, always=subject.SPLIT.value == "train")
    settings = subject.settings() | dict(train_limit=TRAIN.value, test_limit=TEST.value)
    found: list[Any] = []
    cli.on_interrupt(said=lambda: table(found))  # every result is written when it is known
    # A folder is listed once, however many ask what is in it.
    with folder_tree.listed_once(), processes.together(), Preemption(holds=False):
        show(run.evaluated(chosen, compared(), on=on, place=RESULTS.value, **settings), found=found)


def show(results: Iterable[Any], *, found: list[Any]) -> None:
    """Prints the table of results, which `found` gets; where an error ends them, of those before.

    So does Ctrl-C, see `main`.
    """
    try:
        for result in results:
            found.append(result)
    finally:
        if text := table(found):
            print(text, flush=True)


def table(found: Sequence[Any]) -> str:
    """The table of results, of many processes that of the first; "" where there are none."""
    import jax

    from m3i_jax.evaluation import tables

    return tables.compared(found) if found and not jax.process_index() else ""


def compared() -> Iterator[Any]:
    """The models, and with --baselines each untrained and the raw pixels, all of them once."""
    from m3i_jax.evaluation import models
    from m3i_jax.evaluation.refusals import Unread

    named = subject.models("evaluate", unread=Unread)
    if not BASELINES.value:
        return named
    own = lambda model: None if subject.DATA.value else model.config and model.config.data  # noqa: E731
    return models.beside_baselines(named, data=own)


def parsed(said: str) -> list[dict[str, Any]]:
    """Blocks of "linear,knn:k=(1,20),temperature=0.1".

    Raises:
      ConfigError: a setting without a value, or without a name.
    """
    from m3i_jax.evaluation import spec

    return spec.blocks(said, what="--task")


def run() -> None:
    """The command."""
    cli.run(main, words=subject.MODEL)
