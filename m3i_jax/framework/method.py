"""A method is data: views, codes and terms. A row of the table is one value of `Method`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from m3i_jax import masks
from m3i_jax.build import nearest
from m3i_jax.framework.codes import Encoder, ema
from m3i_jax.framework.distributions import Distribution, Regularizer
from m3i_jax.framework.views import Derived
from m3i_jax.types import Array, Grid


class Masking(NamedTuple):
    """Which cells an encoder may see: draw (key, batch, grid, hidden) -> (B, h, w) bool."""

    draw: Callable[..., Array]
    hidden: float

    def count(self, grid: Grid) -> int:
        """Number of visible cells in every image."""
        return grid[0] * grid[1] - masks.count(self.hidden, grid)


class Code(NamedTuple):
    """z = encoder(view), seen through a mask."""

    view: str
    encoder: Encoder
    mask: Masking | None = None


class Part(NamedTuple):
    """What a code of a mixed view says about one of its images.

    tokens: "own" keeps the tokens of the region itself; "all" keeps every token of the mix.
    """

    code: str
    region: str
    tokens: str = "own"


class Term(NamedTuple):
    """Predict code `y` from code `x`: −log P̂(z_y | ψ(z_x)) − H(z_y).

    decoder: ψ, by its name in the network; None compares the pooled codes themselves.
    positions: the target positions that are scored, "all" or those "hidden" from x.
    weight: static weight.  group: terms of one group share a dynamic weight.
    """

    x: str
    y: str
    decoder: str | None
    predict: Distribution
    regularize: Regularizer | None = None
    positions: str = "all"
    weight: float = 1.0
    group: str = "ssp"


@dataclass(frozen=True)
class Method:
    """`(views, codes, terms)`; validates itself when it is built.

    views: views that are derived inside the step.  codes: by name; each is computed once.
    terms: by name; the loss is their weighted sum.
    """

    codes: Mapping[str, Code | Part]
    terms: Mapping[str, Term]
    views: Mapping[str, Derived] = field(default_factory=dict)

    def __post_init__(self):
        for name, code in self.codes.items():
            if isinstance(code, Part):
                self._check_part(name, code)
        for name, term in self.terms.items():
            for end in (term.x, term.y):
                if end not in self.codes:
                    raise ValueError(f"term '{name}' wants code '{end}'{nearest(end, self.codes)}")
            if term.positions not in ("all", "hidden"):
                raise ValueError(f"term '{name}' scores positions 'all' or 'hidden', not "
                                 f"'{term.positions}'")  # fmt: skip
            if isinstance(self.codes[term.y], Part):
                raise ValueError(f"term '{name}' predicts '{term.y}', a part of a mixed code")

    def _check_part(self, name: str, part: Part) -> None:
        whole = self.codes.get(part.code)
        if not isinstance(whole, Code):
            raise ValueError(
                f"part '{name}' wants code '{part.code}'{nearest(part.code, self.codes)}"
            )
        if whole.view not in self.views:
            raise ValueError(f"part '{name}' wants a mixed view, but '{whole.view}' is not derived")
        if part.tokens not in ("own", "all"):
            raise ValueError(f"part '{name}' takes tokens 'own' or 'all', not '{part.tokens}'")

    @property
    def wholes(self) -> dict[str, Code]:
        """The codes that are encoded: all but the parts."""
        return {name: code for name, code in self.codes.items() if isinstance(code, Code)}

    @cached_property
    def encoders(self) -> dict[str, Encoder]:
        """Every encoder once; a moving average for evaluation is always among them."""
        return {"ema": ema()} | {code.encoder.name: code.encoder for code in self.wholes.values()}

    @property
    def sources(self) -> set[str]:
        """Views that the host has to give."""
        seen = {code.view for code in self.wholes.values()}
        for name, derived in self.views.items():
            if name in seen:
                seen |= set(derived.needs)
        return seen - set(self.views)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of terms."""
        return tuple(sorted({term.group for term in self.terms.values()}))

    def whole(self, name: str) -> tuple[str, Code]:
        """The encoded code that `name` is, or is a part of."""
        code = self.codes[name]
        return (code.code, self.codes[code.code]) if isinstance(code, Part) else (name, code)

    def decoders(self, towers: Mapping) -> dict[str, int]:
        """Names of the decoders that the terms want, and the width each has to predict."""
        wanted = {}
        for name, term in self.terms.items():
            if term.decoder is None:
                continue
            width = self.codes[term.y].encoder.width(towers)
            if wanted.setdefault(term.decoder, width) != width:
                raise ValueError(
                    f"term '{name}' wants decoder '{term.decoder}' to predict {width} dimensions, "
                    f"another term wants {wanted[term.decoder]}; give them decoders of their own"
                )
        return wanted

    def refinements(self) -> set[str]:
        """Names of the token heads that the encoders pass through."""
        return {e.refine for e in self.encoders.values() if e.refine}

    def batchwise(self, heads: frozenset[str] = frozenset()) -> dict[str, str]:
        """Terms whose loss over a batch is not the mean over its parts, each with the reason.

        heads: decoders that couple the rows of a batch (batch norm).
        """
        found = {}
        for name, term in self.terms.items():
            refine = self.whole(term.x)[1].encoder.refine
            if term.predict.batchwise:
                found[name] = "it contrasts each row with the others of the batch"
            elif term.regularize and term.regularize.batchwise:
                found[name] = "its regulariser is a statistic of the batch"
            elif heads & {term.decoder, refine}:
                found[name] = "its decoder normalises over the batch"
        return found
