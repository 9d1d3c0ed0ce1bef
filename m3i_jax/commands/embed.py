r"""Writes the features of images to a file: npz or parquet, with names, labels and classes.

    m3i embed runs/mae --out features.npz
    m3i embed vit/model.safetensors --data photos/ --pool cls --out f.parquet

The model and --data are those of m3i evaluate. An npz has the arrays features (N, D), labels, names
and classes; a parquet file has a row for each image. Rows are in the order of the data set.
--distributed is one process of many, as of m3i pretrain.
"""

from typing import Any

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.command_flags import one_of, text, whole
from m3i_jax.commands import _compiled as compiled
from m3i_jax.commands import _processes as processes
from m3i_jax.commands import _subject as subject
from m3i_jax.ranges import Count, CountOrOff

OUT = text("out", None, "File to write, .npz or .parquet.", required=True)
SPLIT = one_of(
    "split", None, ["test", "train"], "Whose images; test, or all where there is no test split."
)
LIMIT = whole("limit", 0, "Images, spread evenly; 0 = all.", limits=CountOrOff)
BLOCKS = whole("blocks", 1, "Last blocks whose features are put side by side.", limits=Count)


def main() -> None:
    """Encodes a split, and writes it."""
    if max(len(subject.MODEL.value), len(subject.DATA.value)) > 1:
        raise ConfigError("one file has the features of one model on one --data; said are "
                          f"{len(subject.MODEL.value)} and {len(subject.DATA.value)}")  # fmt: skip
    import jax

    from m3i_jax.data.sources import folder_tree
    from m3i_jax.evaluation import datasets, embedding
    from m3i_jax.evaluation.evaluation import Evaluation
    from m3i_jax.parallel.signals import Preemption

    embedding.check(OUT.value)
    processes.join()
    compiled.keep()
    (model,) = subject.models("embed")
    (of,) = subject.data_sets() or [_own(model)]
    # A folder is listed once, however many ask what is in it.
    with folder_tree.listed_once(), processes.together(), Preemption(holds=False):
        split = SPLIT.value or ("test" if datasets.has_test(of) else "train")
        limits = {f"{split}_limit": LIMIT.value}
        written = embedding.write(
            OUT.value,
            Evaluation(model, of, **limits, **subject.settings()),
            split,
            blocks=BLOCKS.value,
        )
    if jax.process_index():
        return
    count, *width = written.features.shape
    print(
        f"{OUT.value}: {count} x {'x'.join(map(str, width))} of {model.name} on {of.name}, {split}"
    )


def _own(model: Any) -> Any:
    """The data of the model's run; all of them where a part was held out of one training split."""
    from m3i_jax.evaluation import datasets

    own = model.config and model.config.data
    if own and own["name"] == "held_out" and not SPLIT.value:
        return datasets.of_block(own["of"], share=model.config.unreadable)
    return datasets.of_run(model)


def run() -> None:
    """The command."""
    cli.run(main, words=subject.MODEL)
