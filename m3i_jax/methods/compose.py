"""Methods from plain data, and several at once over shared encoders (M3I Eq. 4)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from m3i_jax import build, framework
from m3i_jax.build import ConfigError
from m3i_jax.framework import Code, DerivedView, Encoder, Masking, Method, RegionCode, Term
from m3i_jax.framework.alike import made_of

TARGETS = {
    "ema": framework.ema,
    "pixels": framework.pixels,
    "frozen": framework.frozen,
    "hog": framework.hog,
}


def create(
    table: Mapping[str, Any], block: Mapping[str, Any], *, what: str, make: Callable
) -> Method:
    """The method of the table that a block names, with its own `target` block where it has one.

    table: {name: function}.  what: how to name the block in errors.
    make: see `methods.create`.
    """
    function, block = build.choose(table, block, what=what)
    own = {}
    if (target := block.pop("target", None)) not in (None, {}):
        own["target"] = build.build(TARGETS, target, what=f"{what}.target", make=make)
    return make(function, block, what=what, others=("name", "target"), **own)


def combine(methods: Mapping[str, Method], *, weights: Mapping[str, float] | None = None) -> Method:
    """All terms of several methods, L = Σ_k w_k L_k (M3I Eq. 4); each is a group of its own.

    Codes and terms get the name of their method in front. Codes that see the same view through the
    same mask share their pass through the encoder; equal decoder names are one decoder, equal
    states one state, but for states about the codes of other heads, which are named apart.
    Derived views and guides of masks that are made alike are those of the first that has them.
    """
    for name in set(weights or {}) - set(methods):
        raise ConfigError(f"weights has '{name}'{build.nearest(name, methods)}")
    codes, terms, views, known, owners = {}, {}, {}, {}, {}
    for own, method in methods.items():
        at = lambda name, own=own: f"{own}/{name}"  # noqa: E731
        moved, apart = {}, _apart(method, at, owners)
        for name, view in method.views.items():
            view = _view(view, at, method.views, apart)
            moved[name] = known.setdefault(made_of(view), at(name))
            views.setdefault(moved[name], view)
        guides = {
            name: known.setdefault(made_of(code._replace(mask=None)), at(name))
            for name, code in method.encoded.items()
        }
        codes |= {
            at(name): _code(code, at, moved, guides, apart) for name, code in method.codes.items()
        }
        weight = (weights or {}).get(own, 1.0)
        terms |= {at(name): _term(term, at, own, weight) for name, term in method.terms.items()}
    return Method(codes, terms, views)


def anchored(method: Method, teacher: Encoder, *, weight: float) -> Method:
    """`method` and Gram anchoring: patches of large views as alike to each other as `teacher`'s.

    L + w · mean over views of mean_{l,m} (x̄_lᵀx̄_m − z̄_lᵀz̄_m)² (docs/methods.md#gram-anchoring).
    What the method passes through the encoder with all its cells is what is anchored; a pass of
    its own is made of a view of which it leaves cells out.
    """
    seen: dict[str, list[Masking | None]] = {}
    for code in method.encoded.values():
        if (code.encoder.owner, code.encoder.tower) == ("online", "image") and code.view in "ab":
            seen.setdefault(code.view, []).append(code.mask)
    if not seen:
        raise ConfigError("Gram anchoring is of large views, of which the method encodes none")
    codes, terms = dict(method.codes), dict(method.terms)
    for view, drawn in seen.items():
        mask = next((mask for mask in drawn if mask is None or mask.varies), None)
        x, y = f"gram_{view}", f"gram_{view}_target"
        codes |= {x: Code(view, framework.online(), mask), y: Code(view, teacher)}
        share = weight / len(seen)
        terms[x] = Term(x, y, None, framework.gram(), weight=share, group="gram")
    return replace(method, codes=codes, terms=terms)


def _apart(method: Method, at, owners: dict[str, tuple]) -> dict[str, str]:
    """{state: its new name} of those that methods before have about the codes of other heads."""
    apart = {}
    for name, slot in method.slots.items():
        if slot.behind and owners.setdefault(name, slot.behind) != slot.behind:
            apart[name] = at(name)
    return apart


def _view(view: DerivedView, at, derived: Mapping[str, DerivedView], apart: Mapping) -> DerivedView:
    if set(view.needs) & set(derived):
        raise ValueError("a derived view of a derived view cannot be combined with other methods")
    if not view.codes:
        return view

    def make(key, views, inputs, **where):
        states = {**inputs.states, **{old: inputs.states[new] for old, new in apart.items()}}
        return view.make(key, views, inputs._replace(states=states), **where)

    codes = {role: at(code) for role, code in view.codes.items()}
    return view._replace(codes=codes, make=make if apart else view.make)


def _code(
    code: Code | RegionCode, at, moved, guides, apart: Mapping[str, str]
) -> Code | RegionCode:
    if isinstance(code, RegionCode):
        return code._replace(code=at(code.code))
    mask, encoder = code.mask, code.encoder
    if isinstance(mask, Masking) and mask.guide is not None:
        mask = mask._replace(guide=guides[mask.guide])
    if isinstance(mask, Masking) and mask.rest_of is not None:
        mask = mask._replace(rest_of=at(mask.rest_of))
    if names := {slot.name: apart[slot.name] for slot in encoder.slots if slot.name in apart}:
        encoder = framework.renamed(encoder, names)
    view, asked = moved.get(code.view, code.view), code.asked and at(code.asked)
    return code._replace(view=view, encoder=encoder, mask=mask, asked=asked)


def _term(term: Term, at, group: str, weight: float) -> Term:
    return term._replace(x=at(term.x), y=at(term.y), group=group, weight=weight * term.weight)
