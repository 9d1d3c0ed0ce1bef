"""What a model is evaluated on: a training and a test set, opened when they are asked for."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from m3i_jax import data
from m3i_jax.evaluation.models import Model
from m3i_jax.training import reading

SPLITS = ("train", "test")


class Data(NamedTuple):
    """A data set.

    name: in tables.
    open: (split, classes) -> source, "train" or "test"; `classes` are those of the training split,
      with which another one is labelled by name.
    """

    name: str
    open: Callable[[str, Sequence[str] | None], data.Source]


def of_run(model: Model) -> Data:
    """The data that a run was trained on, broken records forgiven as in training."""
    block: dict[str, Any] = model.config.data

    def opened(split: str, classes: Sequence[str] | None) -> data.Source:
        return reading.read(model.config, model.workdir, split=split, classes=classes)

    return Data(str(block.get("name", "data")), opened)
