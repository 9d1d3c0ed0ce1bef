"""Tables of names: rules between the keys of a file and our paths, read in both directions.

A rule is `ours <- theirs, transform`, with places for numbers: `{b}` stands for any, `{i+1}` and
`{2j+1}` for those that this sum gives, and `{path}` for any text. A number that our path does not
show is our leading axis: the depth of a stack of blocks.
"""

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Flat = Mapping[str, np.ndarray]
SHOWN = 12  # names in an error of which there are more
_PLACE = re.compile(r"\{(\d*)([a-z]|path)([+-]\d+)?\}")


class Transform(NamedTuple):
    """A change of layout and its inverse: ours(*theirs) is our leaf, theirs(leaf) their leaves."""

    ours: Callable[..., np.ndarray]
    theirs: Callable[[np.ndarray], tuple[np.ndarray, ...]]


SAME = Transform(lambda x: x, lambda x: (x,))


class Rule(NamedTuple):
    """One of our leaves (or one slice of a stacked one) and the leaves of theirs that it holds."""

    ours: str
    theirs: tuple[str, ...]
    transform: Transform = SAME


class Layout(NamedTuple):
    """How somebody else names the parameters of networks that we have, too.

    name: for the user, such as "mae".
    rules: the first one that fits a name counts.
    drops: patterns of keys that are known, and have no use here (heads, index buffers).
    prefixes: of all their keys, alternatives; the first is written.
    omitted: pattern of our paths that have no place there and are left out when written.
    encoder: fields of our encoder that such files need.
    text, head: blocks of the text tower in such files, and of the decoder that images are compared
      with it by; {} of files without texts.
    head_like_encoder: fields of that decoder that are those of the image encoder.
    ours, theirs: of all parameters by path, what no rule of one leaf can say: behind the rules when
      a file is read, in front of them when one is written.
    meant: the layout of the same names that such parameters are of; "" = this one.
    predicts: modules whose results are channels of the image encoder, for it or beside it.
    """

    name: str
    rules: tuple[Rule, ...]
    drops: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ("",)
    omitted: str = "$^"
    encoder: Mapping[str, Any] = {}
    text: Mapping[str, Any] = {}
    head: Mapping[str, Any] = {}
    head_like_encoder: tuple[str, ...] = ()
    ours: Callable[[Flat], Flat] = dict
    theirs: Callable[[Flat], Flat] = dict
    meant: Callable[[Flat], str] = lambda params: ""
    predicts: tuple[str, ...] = ()


class Sorted(NamedTuple):
    """The keys of a state dict, put in their places.

    leaves: our path -> (rule, {number on our leading axis or None: its keys}).
    dropped, unknown: keys known as useless, and not known.
    prefix: of the layout's, which was in front of the keys.
    """

    leaves: dict[str, tuple[Rule, dict[int | None, tuple[str, ...]]]]
    dropped: tuple[str, ...]
    unknown: tuple[str, ...]
    prefix: str = ""


def sort(keys: Iterable[str], layout: Layout) -> Sorted:
    """Where the keys belong, by the prefix of the layout that leaves the fewest unknown."""
    keys = tuple(keys)
    return min((_sort(keys, layout, p) for p in layout.prefixes), key=lambda x: len(x.unknown))


def to_ours(state: Mapping[str, np.ndarray], places: Sorted) -> dict[str, np.ndarray]:
    """Our leaves by path, from a state dict whose keys were sorted; floats become float32."""
    params = {}
    for path, (rule, slices) in places.leaves.items():
        leaves = [
            rule.transform.ours(*(np.asarray(state[key], np.float32) for key in slices[place]))
            for place in sorted(slices)
        ]
        params[path] = leaves[0] if None in slices else np.stack(leaves)
    return params


def to_theirs(
    params: Mapping[str, np.ndarray], layout: Layout
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Their state dict from our leaves by path, and the paths that have no name there."""
    state, unknown = {}, []
    for path, leaf in layout.theirs(params).items():
        if re.search(layout.omitted, path):
            continue
        hit = _first(_by_ours(layout.rules), path)
        if hit is None:
            unknown.append(path)
            continue
        rule, numbers = hit
        for place, x in _slices(rule, leaf):
            parts = rule.transform.theirs(np.asarray(x))
            for name, part in zip(rule.theirs, parts, strict=True):
                key = layout.prefixes[0] + _filled(name, numbers | place)
                state[key] = np.asarray(part, order="C")
    return state, tuple(unknown)


def under(rules: Iterable[Rule], *, ours: str = "", theirs: str = "") -> tuple[Rule, ...]:
    """The rules with a prefix in front of our paths and of their keys."""
    return tuple(
        rule._replace(ours=ours + rule.ours, theirs=tuple(theirs + name for name in rule.theirs))
        for rule in rules
    )


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts of slash-joined paths."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, last = path.split("/")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = leaf
    return tree


def listed(names: Sequence[str]) -> str:
    """The names in a sentence; the first dozen, and how many more."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(sorted(names)[:SHOWN]) + more


def _sort(keys, layout, prefix) -> Sorted:
    pieces, dropped, unknown = {}, [], []
    for key in keys:
        name = key.removeprefix(prefix)
        hit = _first(_by_theirs(layout.rules), name)
        if hit is not None:
            (rule, part), numbers = hit
            path, place = _place(rule, numbers)
            pieces.setdefault((path, rule), {}).setdefault(place, {})[part] = key
        elif any(re.fullmatch(pattern, name) for pattern in layout.drops):
            dropped.append(key)
        else:
            unknown.append(key)
    leaves = {}
    for (path, rule), slices in pieces.items():
        whole = all(len(parts) == len(rule.theirs) for parts in slices.values())
        numbered = None in slices or sorted(slices) == [*range(len(slices))]
        if whole and numbered and path not in leaves:
            keyed = {s: tuple(parts[i] for i in sorted(parts)) for s, parts in slices.items()}
            leaves[path] = rule, keyed
        else:  # a part without its others, a block without the one before, a second source
            unknown += [key for parts in slices.values() for key in parts.values()]
    return Sorted(leaves, tuple(dropped), tuple(unknown), prefix)


@functools.lru_cache(maxsize=64)
def _by_theirs(rules):
    """(template, (rule, which part of it)) of all their keys."""
    return tuple((name, (rule, part)) for rule in rules for part, name in enumerate(rule.theirs))


@functools.lru_cache(maxsize=64)
def _by_ours(rules):
    return tuple((rule.ours, rule) for rule in rules)


def _first(templates, name):
    """What belongs to the first template that fits the name, and its numbers."""
    for template, value in templates:
        numbers = _match(template, name)
        if numbers is not None:
            return value, numbers
    return None


def _place(rule, numbers) -> tuple[str, int | None]:
    """Our path, and the number that is our leading axis."""
    axis = _axis(rule)
    return _filled(rule.ours, numbers), numbers[axis] if axis else None


def _slices(rule, leaf):
    axis = _axis(rule)
    return [({axis: i}, x) for i, x in enumerate(leaf)] if axis else [({}, leaf)]


@functools.lru_cache(maxsize=4096)
def _axis(rule) -> str | None:
    """The letter of the number that our path does not show."""
    shown, all_of = ({m[1] for m in _PLACE.findall(x)} for x in (rule.ours, rule.theirs[0]))
    hidden = all_of - shown
    if len(hidden) > 1:
        raise ValueError(f"rule for '{rule.ours}' hides the numbers {sorted(hidden)}")
    return hidden.pop() if hidden else None


def _match(template: str, name: str) -> dict[str, Any] | None:
    """What the places of the template stand for in `name`, or None where it does not fit."""
    pattern, places = _compiled(template)
    match = pattern.fullmatch(name)
    if match is None:
        return None
    values: dict[str, Any] = {}
    for (times, letter, plus), text in zip(places, match.groups(), strict=True):
        if letter == "path":
            value, rest = text, 0
        else:
            value, rest = divmod(int(text) - plus, times)
        if rest or (letter != "path" and value < 0) or values.setdefault(letter, value) != value:
            return None
    return values


def _filled(template: str, numbers: Mapping[str, Any]) -> str:
    def value(match):
        times, letter, plus = match.groups()
        number = numbers[letter]
        return number if letter == "path" else str(int(times or 1) * number + int(plus or 0))

    return _PLACE.sub(value, template)


@functools.lru_cache(maxsize=8192)
def _compiled(template: str) -> tuple[re.Pattern, tuple[tuple[int, str, int], ...]]:
    """Regular expression of a template, and its places as (factor, letter, summand)."""
    pattern, places, end = "", [], 0
    for match in _PLACE.finditer(template):
        times, letter, plus = match.groups()
        pattern += re.escape(template[end : match.start()])
        pattern += "(.+)" if letter == "path" else r"(\d+)"
        places.append((int(times or 1), letter, int(plus or 0)))
        end = match.end()
    return re.compile(pattern + re.escape(template[end:])), tuple(places)
