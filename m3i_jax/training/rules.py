"""What the path rules of an optimiser say about a tree of parameters, and which of them train.

Every pattern has to be of some path: one that matches nothing is misspelt.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from m3i_jax import trees
from m3i_jax.build import ConfigError, likeliest
from m3i_jax.ranges import Range, Signed
from m3i_jax.texts import Pattern
from m3i_jax.training.layer_decay import layer_scales
from m3i_jax.training.lengths import known

NONE = "(?!)"  # the pattern that is of no path, and says so
Share = Annotated[float, Range(0, 1, below=True, why="what waits for the whole run is frozen")]
Factor = Annotated[float, Range(0, 1000, why="the rate is multiplied by it")]
Wait = tuple[Pattern, Share]
Scale = tuple[Pattern, Factor]
Limits = tuple[Pattern, Signed, Signed]


def check(
    *,
    freeze: str | None,
    lr_scale: Sequence[Scale],
    late: Sequence[Wait],
    limits: Sequence[Limits],
) -> None:
    """Refuses rules that no tree of parameters could have meant."""
    for key, pattern in [("freeze", freeze)] + [("lr_scale", p) for p, x in lr_scale if not x]:
        if pattern is not None and not re.search(r"\w", pattern):
            raise _nothing_trains(key, pattern)
    for pattern, least, most in limits:
        if least >= most:
            raise ConfigError(
                f"config.optimizer.limits has {(pattern, least, most)!r}, expected "
                "(pattern, least, most), the least below the most"
            )
    for key, pairs in (("lr_scale", lr_scale), ("late", late), ("limits", limits)):
        patterns = [pattern for pattern, *_ in pairs]
        if twice := [p for i, p in enumerate(patterns) if p in patterns[:i]]:
            raise ConfigError(f"config.optimizer.{key} has {twice[0]!r} twice")


def _nothing_trains(key: str, pattern: Any) -> ConfigError:
    return ConfigError(f"config.optimizer.{key} = {pattern!r} leaves nothing to train")


class Rules:
    """What the path rules of a config say about a given tree of parameters."""

    def __init__(self, params, *, no_decay, layer_decay, lr_scale, freeze, late, total):
        """params: or their shapes.  total: steps of the run, for what they leave to train.

        The others: see `optimizer`.
        """
        self.paths = paths = [path for path, _ in trees.named_leaves(params)]
        self.no_decay = re.compile(no_decay)
        self.freeze = re.compile(freeze) if freeze else None
        self.lr_scale = [(re.compile(p), float(factor)) for p, factor in lr_scale]
        self.late = [(re.compile(p), float(share)) for p, share in late]
        asked = [("no_decay", no_decay)] if no_decay != NONE else []
        asked += [("freeze", freeze)] if freeze else []
        asked += [("lr_scale", p) for p, _ in lr_scale] + [("late", p) for p, _ in late]
        for key, pattern in asked:
            self._check(key, pattern)
        layers = layer_scales(params, layer_decay) if layer_decay is not None else {}
        self.scales = {
            path: self._factor(path) * layers.get(path, 1.0)
            for path in paths
            if self._factor(path) != 1.0 or path in layers
        }
        if known(total):
            self._check_that_something_trains(freeze, lr_scale, late, total)

    def _factor(self, path: str) -> float:
        return next((factor for p, factor in self.lr_scale if p.search(path)), 1.0)

    def _check(self, key: str, pattern: str) -> None:
        """Refuses a pattern of no path."""
        if not any(re.search(pattern, path) for path in self.paths):
            raise ConfigError(
                f"config.optimizer.{key} = {pattern!r} matches none of the {len(self.paths)} "
                f"parameters{self._nearest(pattern)}"
            )

    def _nearest(self, pattern: str) -> str:
        """The part of a path that was meant, where there is one, and a path that is most alike."""
        parts = {path: path.split("/") for path in self.paths}
        there = {part for of in parts.values() for part in of}
        strange = [word for word in re.findall(r"\w+", pattern) if word not in there]
        meant = likeliest(strange[0], there) if strange else None
        alike = lambda path: sum(part in pattern or part == meant for part in parts[path])  # noqa: E731
        said = f"; did you mean '{meant}', as in" if meant else ", such as"
        return f"{said} '{max(self.paths, key=alike)}'" + "?" * (meant is not None)

    def _check_that_something_trains(self, freeze, lr_scale, late, total: int) -> None:
        """Refuses rules that together leave nothing to train, named by the first that can."""
        stands = {
            "freeze": lambda path: self.freeze is not None and self.freeze.search(path),
            "lr_scale": lambda path: self._factor(path) == 0,
            "late": lambda path: (share := self.wait(path)) and round(share * total) >= total,
        }
        trained = [path for path in self.paths if not re.search(trees.STATISTICS, path)]
        if any(not any(still(path) for still in stands.values()) for path in trained):
            return
        said = {"freeze": freeze, "lr_scale": lr_scale, "late": late}
        raise _nothing_trains(*next((key, x) for key, x in said.items() if x))

    def patterns(self, texts: Sequence[str], key: str) -> list[re.Pattern]:
        """The patterns of a config's list, each of some path."""
        for text in texts:
            self._check(key, text)
        return [re.compile(text) for text in texts]

    def pattern(self, text: str | None, key: str) -> re.Pattern | None:
        """The pattern of a config's key, which is of some path."""
        return self.patterns([text], key)[0] if text else None

    def limits(self, limits: Sequence[Limits]) -> list[tuple[re.Pattern, float, float]]:
        """The (pattern, least, most) rules of a config, each of some path."""
        patterns = self.patterns([pattern for pattern, _, _ in limits], "limits")
        return [(p, float(x), float(y)) for p, (_, x, y) in zip(patterns, limits, strict=True)]

    def wait(self, path: str) -> float:
        """The share of the run in which the path does not move yet."""
        return max((share for pattern, share in self.late if pattern.search(path)), default=0.0)

    def decays(self, params: Any) -> Any:
        """Tree of bools: whether weight decay applies."""
        return trees.map_with_name(lambda path, _: not self.no_decay.search(path), params)

    def groups(self, params: Any) -> Any:
        """Tree of "train", "freeze" or, for running statistics, "track"."""

        def group(path, _):
            if self.freeze and self.freeze.search(path):
                return "freeze"
            return "track" if re.search(trees.STATISTICS, path) else "train"

        return trees.map_with_name(group, params)
