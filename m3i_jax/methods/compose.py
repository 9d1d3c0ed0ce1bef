"""Rows from plain data, and several rows at once over shared encoders (M3I Eq. 4)."""

from collections.abc import Mapping
from typing import Any

from m3i_jax import build, framework
from m3i_jax.build import ConfigError
from m3i_jax.framework import Code, Derived, Masking, Method, Part, Term

TARGETS = {"ema": framework.ema, "pixels": framework.pixels, "frozen": framework.frozen}


def create(rows: Mapping[str, Any], block: Mapping[str, Any], *, what: str) -> Method:
    """The row of the table that a block names, with its own `target` block where it has one.

    rows: {name: row}, the table.  what: how to name the block in errors.
    """
    block = dict(block)
    if "name" not in block:
        raise ConfigError(f"{what} lacks 'name'{build.nearest('', rows)}")
    row, given = build.lookup(rows, block.pop("name"), what=what), {}
    if target := block.pop("target", None):
        given["target"] = build.build(TARGETS, target, what=f"{what}.target")
    try:
        return build.call(row, block, what=what, **given)
    except ValueError as error:
        raise (
            error if isinstance(error, ConfigError) else ConfigError(f"{what}: {error}")
        ) from error


def combine(rows: Mapping[str, Method], *, weights: Mapping[str, float] | None = None) -> Method:
    """All terms of several rows, L = Σ_k w_k L_k (M3I Eq. 4); each row is a group of its own.

    Codes and terms get the name of their row in front. Codes that see the same view through the
    same mask share their pass through the encoder; equal decoder names are one decoder, equal
    states one state.
    """
    codes, terms, views = {}, {}, {}
    for row, method in rows.items():
        at = lambda name, row=row: f"{row}/{name}"  # noqa: E731
        moved = {name: at(name) for name in method.views}
        views |= {at(name): _view(view, at, moved) for name, view in method.views.items()}
        codes |= {at(name): _code(code, at, moved) for name, code in method.codes.items()}
        weight = (weights or {}).get(row, 1.0)
        terms |= {at(name): _term(term, at, row, weight) for name, term in method.terms.items()}
    return Method(codes, terms, views)


def _view(view: Derived, at, moved: Mapping[str, str]) -> Derived:
    if set(view.needs) & set(moved):
        raise ValueError("a derived view of a derived view cannot be combined with other rows")
    return view._replace(codes={role: at(code) for role, code in view.codes.items()})


def _code(code: Code | Part, at, moved: Mapping[str, str]) -> Code | Part:
    if isinstance(code, Part):
        return code._replace(code=at(code.code))
    mask = code.mask
    if isinstance(mask, Masking) and mask.guide is not None:
        mask = mask._replace(guide=at(mask.guide))
    return code._replace(view=moved.get(code.view, code.view), mask=mask)


def _term(term: Term, at, row: str, weight: float) -> Term:
    return term._replace(x=at(term.x), y=at(term.y), group=row, weight=weight * term.weight)
