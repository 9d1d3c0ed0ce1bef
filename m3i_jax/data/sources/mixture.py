"""Several sources as one: how often each is drawn is said, or goes by their lengths.

A record has what its source gives it: a label, captions, both or neither. Which of the sources a
sample comes from is decided by `data.order`, from its number alone, so there is one stream, and one
pool of threads, whatever it is mixed from.
"""

import bisect
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from m3i_jax import build
from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.decoding import Decoder
from m3i_jax.data.sources.folder_names import same
from m3i_jax.data.sources.protocol import Account, Component, NoSplit, Sample, Source
from m3i_jax.data.sources.relabelled import Relabelled
from m3i_jax.data.sources.withheld import withheld
from m3i_jax.ranges import Range, shown
from m3i_jax.texts import NAME, NAMES, OneOf

Drawn = Annotated[float, Range(0, 1e12)]
Together = Annotated[str, OneOf("joined", "apart")]


class Share(NamedTuple):
    """What a mixture takes of one of its sources.

    weight: how often it is drawn beside the others; None = by its length.
    without: "labels", with their masks, or "captions" leaves these out; "" = all is taken.
    """

    weight: Drawn | None = None
    without: Annotated[str, OneOf("", "labels", "captions")] = ""


def mixture(
    split: str,
    *,
    of: dict[str, Any],
    class_names: Together = "joined",
    epoch_of: str = "",
    evaluate_on: str = "",
    classes: Sequence[str] | None = None,
) -> "Mixture":
    """Several sources as one, such as one of labels and one of captions.

    Args:
      split: "train"; any other one is that of the sources that have it.
      of: {name: block of a source, with `weight` and `without`, see `Share`}; every source has a
        weight, or none has: then a sample is of a source as often as a record is. Weights may
        change when a run goes on.
      class_names: "joined" makes one class of those of the same name, "apart" calls each
        "name/class".
      epoch_of: the source that lengths in epochs are passes over; "" = all records.
      evaluate_on: the source whose test split is read; "" = all that have one.
      classes: of the training split.

    Raises:
      NoSplit: none of the sources has the split.
      ConfigError: one of them cannot be opened, a name of one that is not there, weights that are
        missing or all 0.
    """
    shares = _shares(of, epoch_of=epoch_of, evaluate_on=evaluate_on)
    apart, names = class_names == "apart", sorted(of)
    asked = [evaluate_on] if evaluate_on and split != "train" else names
    opened = _opened({name: of[name] for name in asked}, shares, split, classes, apart=apart)
    if apart:
        named = {name: [f"{name}/{c}" for c in one.classes] for name, one in opened.items()}
    else:
        named = {name: one.classes for name, one in opened.items()}
    if classes is None:
        first = {}
        for name in itertools.chain.from_iterable(named.values()):
            first.setdefault(same(name), name)
        classes = tuple(first.values())
    sources = [Relabelled(one, named[name], classes) for name, one in opened.items()]
    components = tuple(
        Component(name, len(source), shares[name].weight)
        for name, source in zip(opened, sources, strict=True)
    )
    return Mixture(sources, components, tuple(classes), epoch_of=epoch_of)


def _shares(of: Any, *, epoch_of: str, evaluate_on: str) -> dict[str, Share]:
    """What is taken of each source."""
    what = "config.data.of"
    if not isinstance(of, Mapping) or not of or not all(hasattr(b, "keys") for b in of.values()):
        raise ConfigError(f"{what} is {shown(of)}, expected the blocks of sources by their names")
    for name in of:
        if not NAME.fullmatch(name):
            raise ConfigError(f"{what} has the name {shown(name)}, expected {NAMES}")
    for key, name in (("epoch_of", epoch_of), ("evaluate_on", evaluate_on)):
        if name and name not in of:
            raise ConfigError(f"config.data.{key} is {shown(name)}, no source of the mixture"
                              f"{nearest(name, of)}")  # fmt: skip
    shares = {}
    for name in sorted(of):
        said = {key: of[name][key] for key in Share._fields if key in of[name]}
        shares[name] = build.call(Share, said, what=f"{what}.{name}")
    weights = {name: share.weight for name, share in shares.items()}
    lacking = [name for name, weight in weights.items() if weight is None]
    if 0 < len(lacking) < len(weights):
        raise ConfigError(
            f"{what}.{lacking[0]} lacks 'weight', which other sources of the mixture have; give "
            "every source one, or none to draw them by their lengths"
        )
    if not lacking and not any(weights.values()):
        raise ConfigError(f"{what}: the weights of all sources are 0")
    if epoch_of and weights[epoch_of] == 0:
        raise ConfigError(f"config.data.epoch_of is '{epoch_of}', which is never drawn")
    return shares


def _opened(
    of: Mapping[str, Any],
    shares: Mapping[str, Share],
    split: str,
    classes: Sequence[str] | None,
    *,
    apart: bool,
) -> dict[str, Source]:
    """The sources that have this split, by name."""
    from m3i_jax.data import sources  # which know this one

    opened, lacking = {}, []
    for name, keys in of.items():
        block = {key: value for key, value in keys.items() if key not in Share._fields}
        own = classes
        if classes is not None and apart:
            front = f"{name}/"
            own = [known.removeprefix(front) for known in classes if known.startswith(front)]
        try:
            what = f"config.data.of.{name}"
            source = sources.opened(block, split=split, classes=own, what=what)
        except NoSplit as error:
            if split == "train":
                raise
            lacking.append(f"{name}: {error}")
            continue
        if getattr(source, "components", ()):
            raise ConfigError(f"config.data.of.{name} is a mixture; give its sources to this one")
        opened[name] = withheld(source, shares[name].without)
    if not opened:
        raise NoSplit(f"no source of the mixture has a {split} split: {'; '.join(lacking)}")
    return opened


class Mixture:
    """A source of the records of several, one source behind the other; see `mixture`."""

    name = "mixture"

    def __init__(
        self,
        sources: Sequence[Source],
        components: tuple[Component, ...],
        classes: tuple[str, ...],
        *,
        epoch_of: str = "",
    ):
        """sources: labelled with `classes`, one for each component."""
        self._sources, self.components, self.classes = sources, components, classes
        self.epoch_of = epoch_of
        self._ends = list(itertools.accumulate(component.length for component in components))
        if all(hasattr(source, "encoded") for source in sources):
            self.encoded = lambda index: self._asked("encoded", index)
        ratios = {getattr(source, "evaluation_ratio", None) for source in sources}
        if len(ratios) == 1 and None not in ratios:
            (self.evaluation_ratio,) = ratios

    def __len__(self) -> int:
        """Number of records of all sources."""
        return self._ends[-1]

    def __getitem__(self, index: int) -> Sample:
        """A record of one of the sources, which follow each other."""
        source, own, _ = self._place(index)
        return source[own]

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "Mixture":
        """The same of the sources with other decoders, each made of its own."""
        decoded = [protocol.decoded_by(source, change) for source in self._sources]
        return Mixture(decoded, self.components, self.classes, epoch_of=self.epoch_of)

    def read(self, index: int) -> Sample | None:
        """The record itself, or None; see `Source`."""
        source, own, _ = self._place(index)
        return protocol.read(source, own)

    def where(self, index: int) -> str:
        """The source, and how it names the record."""
        source, own, name = self._place(index)
        return f"{name}: {protocol.where(source, own)}"

    def captions(self) -> Iterator[str]:
        """Those of all records, in order."""
        return itertools.chain.from_iterable(source.captions() for source in self._sources)

    def fingerprint(self) -> str:
        """A digest of the sources' own, with their names and what their classes are called."""
        said = [
            (component.name, source.name, component.length, source.fingerprint())
            for component, source in zip(self.components, self._sources, strict=True)
        ]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    def contents(self) -> dict[str, str]:
        """Digests of those of the sources that have some."""
        said = [getattr(source, "contents", dict)() for source in self._sources]
        return {
            key: hashlib.sha256(repr([one.get(key) for one in said]).encode()).hexdigest()[:16]
            for key in sorted({key for one in said for key in one})
        }

    @property
    def on_disk(self) -> bool:
        """Whether records of some source are files."""
        return any(getattr(source, "on_disk", False) for source in self._sources)

    @property
    def labels(self) -> np.ndarray | None:
        """The labels of all records, where every source says its own or has none."""
        parts = [
            getattr(source, "labels", None)
            if len(source.names)
            else np.broadcast_to(np.int32(-1), len(source))
            for source in self._sources
        ]
        return None if any(part is None for part in parts) else np.concatenate(parts)

    @functools.cached_property
    def repeats(self) -> np.ndarray | None:
        """How often an epoch shows all records, where some source says it."""
        said = [getattr(source, "repeats", None) for source in self._sources]
        if all(one is None for one in said):
            return None
        pairs = zip(said, self._sources, strict=True)
        return np.concatenate([np.ones(len(s)) if one is None else one for one, s in pairs])

    @functools.cached_property
    def account(self) -> Account:
        """What all sources say, each by its name."""
        accounts = [protocol.account(source) for source in self._sources]
        names = [component.name for component in self.components]
        unknown: dict[str, int] = {}
        for one in accounts:
            for label, count in one.unknown.items():
                unknown[label] = unknown.get(label, 0) + count
        said = [
            tuple(f"{name}: {sentence}" for name, one in zip(names, accounts, strict=True)
                  for sentence in sentences(one))
            for sentences in (lambda one: one.notes, lambda one: one.warnings)
        ]  # fmt: skip
        labelled = sum(one.labelled for one in accounts)
        return Account(labelled, unknown, (self._parts(), *said[0]), said[1])

    def _parts(self) -> str:
        """How many records each source has, as a sentence."""
        listed = (f"{component.length} of {component.name}" for component in self.components)
        return f"a mixture of {', '.join(listed)}, with {len(self.classes)} classes"

    def _place(self, index: int) -> tuple[Source, int, str]:
        """(source of a record, its number there, the source's name in the mixture)."""
        k = bisect.bisect_right(self._ends, index)
        first = self._ends[k] - self.components[k].length
        return self._sources[k], index - first, self.components[k].name

    def _asked(self, member: str, index: int) -> Any:
        source, own, _ = self._place(index)
        return getattr(source, member)(own)
