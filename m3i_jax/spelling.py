"""Which name was meant: by letters, by what others call the same thing, by where it belongs."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from m3i_jax import homes, synonyms

MOST = 40  # names in a sentence
LONG = 5  # letters of a word that is known when one of them is wrong


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the likeliest of `names`, or a list of them."""
    names = sorted(set(map(str, names)))
    if meant := likeliest(str(name), names):
        return f"; did you mean '{meant}'?"
    more = ", …" if len(names) > MOST else ""
    return f"; there are: {', '.join(names[:MOST]) or 'none'}{more}"


def meant(
    key: str,
    names: Iterable[str],
    *,
    block: str = "config",
    config: Mapping[str, Any] | None = None,
) -> str:
    """`nearest` for a key of a config, which may belong into another block than `block`.

    config: the whole of it, where it is known. What only some functions have, such as the patch
      of a ViT, is a hint only where the config names one that has it.
    """
    names = sorted(set(names))
    for here, there in _guesses(key, names, block):
        if here:
            return f"; did you mean '{here}'?"
        if path := next(_homes(there, block, config or {}), None):
            return f"; did you mean {path}?"
    return nearest(key, names)


def likeliest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that was meant: one slip away, another word for it, or most alike."""
    names = sorted(set(names))
    guesses = (here for here, _ in _guesses(name, names) if here)
    return next(guesses, None) or _alike(name, names)


def _guesses(
    name: str, names: list[str], block: str = ""
) -> Iterator[tuple[str | None, Iterable[str]]]:
    """The surest first: one of `names`, or else words to look for in other blocks."""
    for said in _variants(name):
        words = _words(said)
        there = (_bare(said),)
        if len(said) == 1 and said.isupper():  # a paper's K is hardly the k of neighbours
            there = (*words, *there)
        yield _same(said, names) or _among(words, names, block), there
        yield _slip(said, names), words
    if not _words(name):  # what is known is no slip of something else
        words = _near_words(name)
        yield _among(words, names, block), words
        yield None, _near_homes(name)


def _variants(name: str) -> Iterator[str]:
    """A name, and what is left of it without words and numbers that say nothing of their own."""
    yield name
    tokens = _tokens(name)
    while len(tokens) > 1 and tokens[0] in BEFORE:
        tokens = tokens[1:]
        yield "_".join(tokens)
    while len(tokens) > 1 and tokens[-1] in BEHIND:
        tokens = tokens[:-1]
        yield "_".join(tokens)
    family = re.split(r"_(?:patch|window|w|r)?\d+", "_".join(_tokens(name.rsplit("/")[-1])))[0]
    if family and family != "_".join(tokens):
        yield family


def _same(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is written alike but for case, underscores and order."""
    bare, order = _bare(name), sorted(_tokens(name))
    alike = (o for o in names if bare and (_bare(o) == bare or sorted(_tokens(o)) == order))
    return next(alike, None)


def _slip(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is one letter away."""
    bare = _bare(name)
    near = [o for o in names if len(o) > 1 and bare and _one_off(bare, _bare(o))]
    return max(near, key=lambda other: _common(bare, _bare(other)), default=None)


def _words(name: str) -> list[str]:
    """Our words for what others call `name`, the likeliest first."""
    return ALSO.get(_bare(name)) or ALSO.get(_sorted(name)) or []


def _near_words(name: str) -> list[str]:
    """Our words for what others call nearly so."""
    bare = _bare(name)
    near = (other for other in ALSO if len(other) >= LONG and _one_off(bare, other))
    return [word for other in near for word in ALSO[other]]


def _among(words: Iterable[str], names: Iterable[str], block: str) -> str | None:
    """The first of our words that is one of the names; `log.every` is one in config.log only."""
    for word in words:
        place, _, leaf = word.rpartition(".")
        if leaf in names and (not place or fnmatch.fnmatchcase(block, f"config.{place}")):
            return leaf
    return None


def _homes(words: Iterable[str], block: str, config: Mapping[str, Any]) -> Iterator[str]:
    """The keys `config.block.word` that other blocks have."""
    for word in words:
        wanted, _, leaf = word.rpartition(".")
        for parent, functions in homes.HOMES.items():
            path = ".".join(filter(None, ("config", parent)))
            if path == block or wanted and not fnmatch.fnmatchcase(parent, wanted):
                continue
            named = _name(config, parent)
            for patterns, keys in functions.items():
                if not patterns or any(fnmatch.fnmatchcase(named, p) for p in patterns.split()):
                    alike = (f"{path}.{k}" for k in keys.split() if _bare(k) == _bare(leaf))
                    yield from (key for key in alike if key != block)


def _near_homes(name: str) -> list[str]:
    """Keys of all blocks that are one letter away."""
    keys = {k for home in homes.HOMES.values() for keys in home.values() for k in keys.split()}
    bare = _bare(name)
    near = [k for k in sorted(keys) if len(_bare(k)) >= LONG and _one_off(bare, _bare(k))]
    return [] if bare in map(_bare, keys) else near


def _name(config: Mapping[str, Any], path: str) -> str:
    """The function that a block of a config names, "" where nobody knows."""
    for part in filter(None, path.split(".")):
        config = config[part] if hasattr(config, "keys") and part in config else None
    return str(config.get("name", "")) if hasattr(config, "keys") else ""


def _alike(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` with the most in common, where that is most of it."""
    plain = _bare(name)[:64]
    far = {other: _distance(plain, _bare(other)) for other in names}
    alike = sorted(names, key=lambda other: (far[other], -_common(plain, _bare(other)), other))
    first = alike[0] if alike and plain else None
    if first and far[first] < len(first) and far[first] <= max(len(first), len(plain)) // 4:
        return first
    begun = max(names, key=lambda other: _ahead(plain, _bare(other)), default="")
    least = max(3, 3 * min(len(plain), len(begun)) // 4)
    return begun if _ahead(plain, _bare(begun)) >= least else None


def _bare(name: str) -> str:
    """Letters and digits alone; what has none, such as "%", as it is."""
    return re.sub(r"[\W_]", "", name.lower()) or name


def _tokens(name: str) -> list[str]:
    """The words of a name: layer_decay, layer-decay and layerDecay have two."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name)
    return re.findall(r"[^\W_]+", split.lower())


def _sorted(name: str) -> str:
    return " ".join(sorted(_tokens(name)))


def _common(a: str, b: str) -> float:
    """How much two words have in common: their letters, and among equals their beginning."""
    letters = sum(min(a.count(letter), b.count(letter)) for letter in set(a))
    return letters + _ahead(a, b) / 8


def _ahead(a: str, b: str) -> int:
    """How many letters two words begin with alike."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(a), len(b)))


def _one_off(a: str, b: str) -> bool:
    """Whether one letter is inserted, deleted, replaced, or swapped with its neighbour, at most."""
    if abs(len(a) - len(b)) > 1:
        return False
    same = _ahead(a, b)
    a, b = a[same:], b[same:]
    same = _ahead(a[::-1], b[::-1])
    a, b = a[: len(a) - same], b[: len(b) - same]
    return max(len(a), len(b)) <= 1 or len(a) == len(b) == 2 and a == b[::-1]


def _distance(a: str, b: str) -> int:
    """Letters to insert, delete, replace or swap with their neighbour between two words.

    Damerau (1964), in the form that edits no letter twice. Long words are cut: no name is long.
    """
    a, b = a[:64], b[:64]
    before, row = [], list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                row[-1] = min(row[-1], older[j - 2] + 1)
    return row[-1]


def _also() -> dict[str, list[str]]:
    """{what others say, without underscores, and its words in order: ours, the likeliest first}."""
    ours_of: dict[str, list[str]] = {}
    for ours, theirs in synonyms.WORDS:
        for word in theirs.split():
            ours_of.setdefault(_bare(word), []).extend(ours.split())
            if "_" in word:
                ours_of.setdefault(_sorted(word), []).extend(ours.split())
    return ours_of


ALSO = _also()
BEFORE, BEHIND = frozenset(synonyms.BEFORE.split()), frozenset(synonyms.BEHIND.split())
