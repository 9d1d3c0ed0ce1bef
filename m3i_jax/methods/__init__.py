"""THE TABLE: every pre-training method as views, codes and terms, one short function per row.

A row's arguments are the paper's numbers. `supervised` has rows with categories and texts,
`intra` those that predict a view from itself, `inter` from another view, `forms` the 12 forms of
M3I's Table 2, `mixed` M3I, `corrupted` CIM, `recombined` what no paper has; `compose` makes one row
of several. Every public function of these modules is a row. What is called alike means the same:

hidden: share of the patches that are hidden.
temperature: what similarities are divided by in front of the softmax.
size: codes in the queue.  codes: words in the vocabulary of the tokenizer.
local: small views of each image.
label_smoothing: share of a category's probability that all of them have in equal parts.
negative_weight: of the alignment with the directions of other samples (UniGrad); 0 = none.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from m3i_jax.framework import Method
from m3i_jax.methods import (
    compose,
    corrupted,
    describe,
    forms,
    inter,
    intra,
    mixed,
    recombined,
    supervised,
)
from m3i_jax.ranges import NotNegative
from m3i_jax.texts import NAME, NAMES


def combine(*, rows: dict[str, dict], weights: dict[str, NotNegative] | None = None) -> Method:
    """Several rows at once, L = Σ_k w_k L_k over shared encoders (M3I Eq. 4), by config alone.

    rows: {a name of yours: {"name": row, **arguments, "target": block}}.
    weights: {that name: w}, 1 where left out. For weights that change, or that follow gradient
    norms, see `framework.scheduled` and `framework.gradient_norm`: each row is a group
    (docs/methods.md#combine).
    """
    if strange := [name for name in rows if not NAME.fullmatch(name)]:
        raise ValueError(f"rows has the name {strange[0]!r}, expected {NAMES}")
    made = {
        name: create(block, what=f"config.objective.rows.{name}") for name, block in rows.items()
    }
    return compose.combine(made, weights=weights)


def _rows(*modules: Any) -> dict[str, Any]:
    """The public functions that the modules define, in their order."""
    return {
        name: row
        for module in modules
        for name, row in vars(module).items()
        if inspect.isfunction(row) and row.__module__ == module.__name__ and name[0] != "_"
    }


PUBLISHED = _rows(supervised, intra, inter, forms, mixed, corrupted)
ROWS = PUBLISHED | _rows(recombined) | {"combine": combine}

__all__ = list(ROWS)


def create(block: Mapping[str, Any], *, what: str = "config.objective") -> Method:
    """The row of the table that a block `{name, **arguments, target}` names."""
    return compose.create(ROWS, block, what=what)


def table() -> str:
    """M3I's Table 5 as Markdown: one line for every kind of term of every published row."""
    rows = {name: row() for name, row in PUBLISHED.items() if row is not forms.table2}
    return describe.markdown(rows)


def __getattr__(name: str) -> Any:
    """Rows by their name: `methods.mae()`."""
    if name in ROWS:
        return ROWS[name]
    raise AttributeError(f"the table has no row '{name}'")
