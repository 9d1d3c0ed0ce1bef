"""THE TABLE: every pre-training method as views, codes and terms, one short function per method.

Its arguments are the paper's numbers. `supervised` has methods with categories and texts,
`intra` those that predict a view from itself, `inter` from another view, `prototypes` those that
predict shares of prototypes, `forms` the 12 forms of M3I's Table 2, `mixed` M3I, `corrupted` CIM,
`recombined` what no paper has; `compose` makes one of several. `dense` and `detection` have what
encoders are judged by, methods with what is said of pixels, and of objects. Every public function
of these modules is a method. What is called alike means the same:

hidden: share of the patches that are hidden.
temperature: what similarities are divided by in front of the softmax.
size: codes in the queue.  vocabulary: visual tokens that the tokenizer knows.
local: small views of each image.
label_smoothing: share of a category's probability that all of them have in equal parts.
negative_weight: of the alignment with the directions of other samples (UniGrad); 0 = none.
"""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from m3i_jax import build, framework, renamed
from m3i_jax.framework import Method
from m3i_jax.methods import (
    compose,
    corrupted,
    dense,
    describe,
    detection,
    forms,
    inter,
    intra,
    mixed,
    prototypes,
    recombined,
    supervised,
)
from m3i_jax.ranges import CountOrOff, Weight
from m3i_jax.texts import NAME, NAMES


@renamed.arguments(rows="methods")
def combine(
    *,
    methods: dict[str, dict],
    weights: dict[str, Weight] | None = None,
    gram: Weight = 0.0,
    refresh: CountOrOff = 10_000,
) -> Method:
    """Several methods at once, L = Σ_k w_k L_k over shared encoders (M3I Eq. 4), by config alone.

    methods: {a name of yours: {"name": method, **arguments, "target": block}}.
    weights: {that name: w}, 1 where left out. For weights that change, or that follow gradient
    norms, see `framework.scheduled` and `framework.gradient_norm`: each is a group
    (docs/methods.md#combine).

    gram: weight of Gram anchoring, a group (DINOv3, docs/methods.md#gram-anchoring); 0 = none.
    refresh: steps after which its teacher is exchanged for the moving average; 0 = never.
    """
    return _combined(build.call, methods, weights, gram=gram, refresh=refresh)


def _combined(
    make: Callable,
    methods: Mapping[str, Mapping],
    weights: Mapping[str, float] | None = None,
    *,
    gram: float = 0.0,
    refresh: int = 10_000,
) -> Method:
    """`combine`, the methods of which are made by `make`."""
    if strange := [name for name in methods if not NAME.fullmatch(name)]:
        raise ValueError(f"methods has the name {strange[0]!r}, expected {NAMES}")
    parts = {
        name: create(block, what=f"config.objective.methods.{name}", make=make)
        for name, block in methods.items()
    }
    method = compose.combine(parts, weights=weights)
    if not gram:
        return method
    return compose.anchored(method, framework.snapshot(every=refresh), weight=gram)


def _public(*modules: Any) -> dict[str, Any]:
    """The public functions that the modules define, in their order."""
    return {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and name[0] != "_"
    }


PUBLISHED = _public(supervised, intra, inter, prototypes, forms, mixed, corrupted)
DENSE = _public(dense, detection)
METHODS = PUBLISHED | _public(recombined) | DENSE | {"combine": combine}

__all__ = list(METHODS)


def create(
    block: Mapping[str, Any], *, what: str = "config.objective", make: Callable = build.call
) -> Method:
    """The method that a block `{name, **arguments, target}` names.

    make: `build.call`; `build.made` for a block that has been checked.
    """
    # `build` sees the arguments of `combine`: how its methods are made is no key of a config.
    combined = functools.wraps(combine)(functools.partial(_combined, make))
    return compose.create(METHODS | {"combine": combined}, block, what=what, make=make)


def table() -> str:
    """M3I's Table 5 as Markdown: one line for every kind of term of every published method."""
    published = {n: method() for n, method in PUBLISHED.items() if method is not forms.table2}
    return describe.markdown(published)


def __getattr__(name: str) -> Any:
    """Methods by their name: `methods.mae()`; `ROWS`, as METHODS was called, with a warning."""
    if name == "ROWS":
        warnings.warn("methods.ROWS is called methods.METHODS", DeprecationWarning, stacklevel=2)
        return METHODS
    if name in METHODS:
        return METHODS[name]
    raise AttributeError(f"the table has no method '{name}'")
