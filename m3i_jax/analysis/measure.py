"""What a measure is: a way to look inside an encoder, as one record."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.results import Result

# How what was found is drawn: a dot for each head of each block, a line over the blocks, a table of
# two axes, or pictures alone.
FORMS = ("heads", "layers", "matrix", "pictures")

Blocks = Sequence[Any]  # one tree of arrays (images, ...) for each block


class Look(NamedTuple):
    """What each block of an encoder is asked for, inside the compiled forward pass.

    attention: `Scores` of a block -> a tree of arrays (B, ...).  layers: the tokens behind a block,
    (B, n, D), the class token first -> the same.  None = nothing is asked for.
    """

    attention: Callable[..., Any] | None = None
    layers: Callable[..., Any] | None = None


class Rows(NamedTuple):
    """What a look has brought back, one row for each image that can be read.

    attention, layers: of every block, arrays (N, ...) float32; () where it was not asked for.
    index: (N,) which records of the split these are.  labels: (N,), -1 = none.
    batch: images that were encoded at once; record i was in batch i // batch.
    """

    attention: Blocks
    layers: Blocks
    index: Int[np.ndarray, " images"]
    labels: Int[np.ndarray, " images"]
    batch: int


class Picture(NamedTuple):
    """A picture and what it shows, in words."""

    caption: str
    image: UInt8[np.ndarray, "height width 3"]


class Shown(NamedTuple):
    """What a measure has found.

    form: how it is drawn, one of `FORMS`.
    values: by name, numbers or nested lists of them. Of "heads", `heads`: for each block a list of
      a number for each head (or pair), and perhaps `low` and `high` of the same shape, ends of
      95 % intervals, and `mean`, one for each block. Of "layers", any names, each with a number for
      each block. Of "matrix", `matrix`: rows of numbers.
    labels: names along an axis: `blocks` (what the places are called), or `rows` and `columns`.
    protocol: what the data decided, beside the measure's own settings.
    counts: images that were counted, by what they are for.
    pictures: in order.
    results: numbers that belong beside those of evaluations, in results.jsonl.
    """

    form: str
    values: Mapping[str, Any] = {}
    labels: Mapping[str, Sequence[str]] = {}
    protocol: Mapping[str, Any] = {}
    counts: Mapping[str, int] = {}
    pictures: Sequence[Picture] = ()
    results: Sequence[Result] = ()


class Measure(NamedTuple):
    """One way to look inside an encoder.

    name: as it is asked for.  title: in words, for pictures and tables.
    unit: of the values, such as "pixels" or "nats"; "" = they have none.
    settings: that decide what is found, written beside it.
    measure: (model on data, what its look has brought back, None where it has no look) -> Shown.
    look: (model on data) -> what its blocks are asked for; None = nothing. All looks that are asked
      for together share one forward pass.
    across: the same of two models, for measures that compare them: of the rows of both.

    look and measure raise NotMeasurable, with a sentence, for encoders that have nothing to show.
    """

    name: str
    title: str
    unit: str
    settings: dict[str, Any]
    measure: Callable[[Evaluation, Rows | None], Shown]
    look: Callable[[Evaluation], Look] | None = None
    across: Callable[[Rows, Rows], Shown] | None = None
