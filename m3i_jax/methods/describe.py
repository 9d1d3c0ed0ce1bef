"""The table as the paper prints it (M3I Table 5), read off the methods themselves."""

from typing import NamedTuple

from m3i_jax.framework import PIXELWISE, Method, RegionCode, Term

VIEWS = {"a": "view 1", "b": "view 2", "label": "category", "text": "text"}
VIEWS |= dict.fromkeys(PIXELWISE, "pixels of view 1")
WITHOUT = ("pixels", "edges", "words", "categories", "depths", "key points")  # parameters
HEADER = ("method", "input", "target", "representation", "P̂", "regularizer")


class Line(NamedTuple):
    """What one kind of term of a method says: a line of Table 5."""

    input: str
    target: str
    representation: str
    distribution: str
    regularizer: str


def lines(method: Method) -> list[Line]:
    """The different lines of a method, in the order of its terms."""
    of_terms = [_line(method, term) for term in method.terms.values()]
    return list(dict.fromkeys(of_terms))


def markdown(methods: dict[str, Method]) -> str:
    """The table of several methods by name."""
    table = [HEADER, ("---",) * len(HEADER)]
    for name, method in methods.items():
        for i, line in enumerate(lines(method)):
            table.append((f"`{name}`" if i == 0 else "", *line))
    return "\n".join("| " + " | ".join(cells) + " |" for cells in table)


def _line(method: Method, term: Term) -> Line:
    _, x = method.source_of(term.x)
    y = method.codes[term.y]
    region_code = method.codes[term.x]
    seen = _view(method, x.view)
    if isinstance(region_code, RegionCode):
        seen = f"{region_code.region} of {seen}"
    elif x.mask is not None:
        seen = f"masked {seen}"
    seen_by_target = " and ".join(_view(method, v) for v in y.encoder.views or (y.view,))
    if y.identity is not None:
        seen_by_target = f"all views of its {_view(method, y.identity)}"
    parts = [seen_by_target, _representation(term, y), term.predict.name]
    return Line(seen, *parts, _regularizer(term, y))


def _view(method: Method, name: str) -> str:
    if name in method.views and method.views[name].codes:
        return f"corrupted {VIEWS[method.views[name].needs[0]]}"
    if name in method.views:
        return "2 mixed images" if method.views[name].mixes else "2 blended images"
    return VIEWS.get(name) or "small crops"


def _representation(term: Term, y) -> str:
    if y.encoder.represents != "features":
        return y.encoder.represents
    if y.view in ("label", "text"):
        return {"label": "category", "text": "text"}[y.view] + " embedding"
    if term.predict.candidates in ("visual tokens", "prototypes"):
        dense = term.predict.dense and term.predict.candidates == "prototypes"
        return "prototypes of patches" if dense else term.predict.candidates
    return "dense feature" if term.predict.dense else "global feature"


def _regularizer(term: Term, y) -> str:
    """How the target is kept from collapsing."""
    names = []
    if term.predict.candidates in ("categories", "texts", "words", "samples"):
        names.append(f"negative {term.predict.candidates}")
    names += [y.encoder.keeps] if y.encoder.keeps else []
    if term.regularize:
        names.append(term.regularize.name)
    if y.encoder.stop_gradient and y.encoder.represents not in WITHOUT:
        names.append("stop-gradient")
    return ", ".join(names) or "–"
