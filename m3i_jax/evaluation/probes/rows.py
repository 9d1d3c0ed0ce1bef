"""What a grid of heads learns from and is judged by: features made before, or images of steps."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.evaluation.probes.heads import Sight
from m3i_jax.types import Array

HELD_OUT, TEST = "held_out", "test"  # whole images that the best head is chosen on
SHARE = 10  # one in so many training rows is held out

Kinds = Mapping[str, Mapping[str, Any]]  # names of features, and what `Evaluation.features` is told
Program = Callable[[Any, Any, Any], Array]  # (heads, frozen, inputs) -> (B, ...), compiled


class Rows(NamedTuple):
    """Rows of training, and whole images of it and of the test set that judge.

    learn: how many rows heads learn from.
    classes: how many there are.
    widths: of each kind of features.
    sight: how heads see the inputs of `batches` and `judged`.
    batches: (rows of a step, seed) -> (inputs, labels), without end.
    judged: (`HELD_OUT` or `TEST`, program, heads) -> (what it makes of the inputs, labels), in
      parts, of those that have a label.
    ways: devices that share a batch.
    """

    learn: int
    classes: int
    widths: dict[str, int]
    sight: Sight
    batches: Callable[[int, int], Iterator[tuple[Any, Array]]]
    judged: Callable[[str, Program, Any], Iterator[tuple[np.ndarray, np.ndarray]]]
    ways: int = 1

    def batch(self, wanted: int) -> int:
        """Rows of a step: as many as are wanted or there are, in whole numbers for each device."""
        return max(1, min(wanted, self.learn) // self.ways) * self.ways


def split(count: int, *, choose: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows that heads learn from, rows that choose one), a tenth of all and one at least."""
    order = np.random.default_rng(seed).permutation(count)
    cut = max(1, count // SHARE) if choose == HELD_OUT else 0
    return np.sort(order[cut:]), np.sort(order[:cut])
