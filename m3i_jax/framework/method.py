"""A method is data: views, codes and terms. Each of the table is one value of `Method`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

from m3i_jax import trees
from m3i_jax.build import nearest
from m3i_jax.framework.annotations import COUNTED, OUTLINED, PIXELWISE
from m3i_jax.framework.codes import Encoder, Slot, ema
from m3i_jax.framework.distributions import Distribution, Regularizer
from m3i_jax.framework.masking import Masking
from m3i_jax.framework.views import DerivedView
from m3i_jax.geometry.maps import Blocks

POSITIONS = ("all", "hidden", "matched")


class Code(NamedTuple):
    """z = encoder(view), seen through a mask; codes of one view and equal masks see the same.

    asked: code whose hidden cells this one is asked for: its assignments count them alone.
    identity: view whose equal entries make samples each other's positives, "label" (SupCon); None =
      each is its own alone, as is one that lacks the view.
    """

    view: str
    encoder: Encoder
    mask: Masking | None = None
    asked: str | None = None
    identity: str | None = None


class RegionCode(NamedTuple):
    """What a code of a mixed view says about one of its images.

    tokens: "own" keeps the tokens of the region itself; "all" keeps every token of the mix.
    """

    code: str
    region: str
    tokens: str = "own"


class Term(NamedTuple):
    """Predict code `y` from code `x`: −log P̂(z_y | ψ(z_x)) − H(z_y).

    decoder: ψ, by its name in the network; None compares the codes themselves.
    positions: the target positions that are scored: "all", those "hidden" from x, or for each
      token of x the one whose token before the heads is most like its own ("matched", DenseCL).
    block: which of the blocks of x's mask is asked for and scored, by itself, whatever `positions`.
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
    block: int | None = None


@dataclass(frozen=True)
class Method:
    """`(views, codes, terms)`; validates itself when it is built.

    views: views that are derived inside the step.  codes: by name; each is computed once.
    terms: by name; the loss is their weighted sum.
    average: the moving average that is kept for evaluation where no code brings one.
    averages_head: whether that is of the heads `answering`, too, which can be evaluated then.
    """

    codes: Mapping[str, Code | RegionCode]
    terms: Mapping[str, Term]
    views: Mapping[str, DerivedView] = field(default_factory=dict)
    average: Encoder = ema()
    averages_head: bool = False

    def __post_init__(self):
        for name, code in self.codes.items():
            if isinstance(code, RegionCode):
                self._check_region(name, code)
            elif code.asked is not None and code.asked not in self.codes:
                known = nearest(code.asked, self.codes)
                raise ValueError(f"code '{name}' is asked by code '{code.asked}'{known}")
        for name, term in self.terms.items():
            for end in (term.x, term.y):
                if end not in self.codes:
                    raise ValueError(f"term '{name}' wants code '{end}'{nearest(end, self.codes)}")
            if term.positions not in POSITIONS:
                raise ValueError(
                    f"term '{name}' scores positions '{term.positions}', "
                    f"expected {', '.join(map(repr, POSITIONS))}"
                )
            drawn = getattr(self.codes[term.x], "mask", None)
            if term.block is not None and not 0 <= term.block < (drawn.blocks if drawn else 0):
                raise ValueError(
                    f"term '{name}' asks for block {term.block}, of which the mask of '{term.x}' "
                    f"has {drawn.blocks if drawn else 0}"
                )
            y = self.codes[term.y]
            if isinstance(y, RegionCode):
                raise ValueError(f"term '{name}' predicts '{term.y}', a region of a mixed view")
            if y.identity is not None and not term.predict.identities:
                raise ValueError(
                    f"term '{name}' predicts '{term.y}', whose samples are positives of each other "
                    f"by '{y.identity}', which its distribution does not know; nt_xent does"
                )

        self.slots  # noqa: B018  raises where two codes want one state in two ways
        self.order  # noqa: B018  raises where codes and views wait for each other

    def _check_region(self, name: str, of: RegionCode) -> None:
        source = self.codes.get(of.code)
        if not isinstance(source, Code):
            raise ValueError(
                f"region code '{name}' wants code '{of.code}'{nearest(of.code, self.codes)}"
            )
        if source.view not in self.views:
            raise ValueError(
                f"region code '{name}' wants a mixed view, but '{source.view}' is not derived"
            )
        if of.tokens not in ("own", "all"):
            raise ValueError(f"region code '{name}' takes tokens 'own' or 'all', not '{of.tokens}'")

    @property
    def encoded(self) -> dict[str, Code]:
        """The codes that are encoded: all but those of regions."""
        return {name: code for name, code in self.codes.items() if isinstance(code, Code)}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The codes that are encoded, each behind those that its view is made of.

        Raises:
          ValueError: a view is made of a code that is not there, or of one that sees it.
        """
        ordered: dict[str, None] = {}

        def visit(name: str, waiting: tuple[str, ...]) -> None:
            # `waiting` is the way from the code that was asked for: to meet one of it again is a
            # circle.
            if name in waiting:
                raise ValueError(f"codes wait for each other: {' <- '.join((*waiting, name))}")
            if name not in self.encoded:
                raise ValueError(f"a view is made of code '{name}'{nearest(name, self.encoded)}")
            code = self.encoded[name]
            derived = self.views.get(code.view)
            for before in derived.codes.values() if derived else ():
                visit(before, (*waiting, name))
            # Masks are drawn for the whole batch before anything is encoded (`engine.prepare`).
            if derived and derived.codes and code.mask is not None:
                raise ValueError(f"code '{name}' sees a view made of codes, which has no mask")
            ordered.setdefault(name)

        for name in self.encoded:
            visit(name, ())
        return tuple(ordered)

    @cached_property
    def slots(self) -> dict[str, Slot]:
        """Every state once; a moving average for evaluation is always among them.

        Raises:
          ValueError: two codes want one state in two ways.
        """
        slots = {}
        for code in self.encoded.values():
            for slot in code.encoder.slots:
                # Slots are known by name, and hold functions that cannot be compared: what must
                # agree is said by these two fields.
                first = slots.setdefault(slot.name, slot)
                for what in ("settings", "behind"):
                    one, other = getattr(first, what), getattr(slot, what)
                    if one != other:
                        what = "with settings" if what == "settings" else "for the codes of"
                        raise ValueError(
                            f"'{slot.name}' is one state, but it is wanted {what} {one} and {other}"
                            + ("; give one of them a `name` of its own" * (slot.behind != ()))
                        )
        # A code's own average, with its momentum, takes the place of the one for evaluation.
        return {slot.name: slot for slot in self.average.slots} | slots

    def with_slot(self, slot: Slot) -> "Method":
        """This method with `slot` in the place of the state of its name, in all its codes."""

        def exchanged(code: Code | RegionCode) -> Code | RegionCode:
            if isinstance(code, RegionCode):
                return code
            slots = tuple(slot if s.name == slot.name else s for s in code.encoder.slots)
            return code._replace(encoder=code.encoder._replace(slots=slots))

        return replace(self, codes={name: exchanged(code) for name, code in self.codes.items()})

    def owned(self, params: dict, slot: str) -> dict:
        """The parameters that the encoders with this state pass through."""
        return trees.select(params, self._scope(slot))

    def trained(self, params: dict) -> dict:
        """The parameters without those that live in frozen states."""
        for name, slot in self.slots.items():
            if slot.frozen:
                params = trees.drop(params, self._scope(name))
        return params

    def _scope(self, slot: str) -> str:
        """Pattern of the parameters of all towers and heads in front of a state."""
        users = [
            c.encoder for c in self.encoded.values() if slot in {s.name for s in c.encoder.slots}
        ]
        towers = {e.tower for e in users}
        heads = {h for e in users for h in (*e.heads, *e.extra_heads)}
        # The encoder is evaluated by its average whether or not a code passes through that.
        towers |= {"image"} if slot == "ema" else set()
        if slot == "ema" and self.averages_head:
            heads, towers = heads | {*self.answering}, towers | {*self.answering.values()}
        either = lambda names: "|".join(sorted(map(re.escape, names)))  # noqa: E731
        pattern = rf"^encoders/({either(towers)})/"
        # Paths are of the network's own tree, {"encoders": {tower: …}, "decoders": {name: …}}.
        return pattern + (rf"|^decoders/({either(heads)})/" if heads else "")

    @property
    def sources(self) -> set[str]:
        """Views that the host has to give."""
        codes = self.encoded.values()
        seen = {view for code in codes for view in (code.view, *code.encoder.views)}
        seen |= {code.identity for code in codes} - {None}
        for name, derived in self.views.items():
            # A view that no code sees is not made, so what it would be made of is not needed.
            if name in seen:
                seen |= set(derived.needs)
        return seen - set(self.views)

    @property
    def images(self) -> set[str]:
        """Those of the sources that are images."""
        return self.sources - {"label", "text", *PIXELWISE}

    @property
    def annotations(self) -> tuple[str, ...]:
        """What the host has to say of the pixels of view a."""
        return tuple(name for name in PIXELWISE if name in self.sources)

    @property
    def maps(self) -> dict[str, Blocks]:
        """{tower: behind which of its blocks codes have maps}.

        Raises:
          ValueError: two codes of a tower, behind different ones.
        """
        # How wide a head's first layer is follows from the maps: of a tower they have to be the
        # same wherever a network is made, also where no code is there yet.
        wanted: dict[str, Blocks] = {}
        for encoder in (code.encoder for code in self.encoded.values()):
            if encoder.maps and wanted.setdefault(encoder.tower, encoder.maps) != encoder.maps:
                raise ValueError(
                    f"heads read maps of '{encoder.tower}' behind blocks "
                    f"{wanted[encoder.tower]!r} and {encoder.maps!r}; let them read the same"
                )
        return wanted

    @property
    def outlined(self) -> bool:
        """Whether the masks of objects are asked for, beside their boxes."""
        return self._asked(OUTLINED)

    @property
    def counted(self) -> bool:
        """Whether it is asked how many images of the data show each category of objects."""
        return self._asked(COUNTED)

    def _asked(self, word: str) -> bool:
        """Whether some code of objects asks for this, beside their boxes."""
        said = (code.encoder.represents for code in self.encoded.values() if code.view == "objects")
        return any(word in names.split() for names in said)

    def says(self, view: str) -> str:
        """What heads say whose target is one of `PIXELWISE`: that, or "track", where the objects
        are those of templates, view b, which are sought in view a."""
        of = [self.source_of(t.x)[1] for t in self.terms.values() if self.codes[t.y].view == view]
        sought = view == "objects" and any("b" in code.encoder.views for code in of)
        return "track" if sought else view

    def said(self, view: str) -> int:
        """Of how many kinds what is said of pixels is: categories, key points; 0 = nobody asks."""
        widths = (c.encoder.width({}) for c in self.encoded.values() if c.view == view)
        return next(widths, 0)

    @property
    def classifier(self) -> tuple[str, str] | None:
        """(decoder, tower) of the first term that tells a label's row from the others of a table.

        None where no term does.
        """
        term = self.telling("label")
        return term and (term.decoder, self.codes[term.y].encoder.tower)

    @property
    def answering(self) -> dict[str, str]:
        """{decoder: tower that it reads, or is compared with} of classifier and dense heads."""
        dense = [t for t in self.terms.values() if t.decoder and self.codes[t.y].view in PIXELWISE]
        return {t.decoder: "image" for t in dense} | dict(filter(None, [self.classifier]))

    def telling(self, view: str) -> Term | None:
        """The first term that predicts a "label", or a "text", of an image by a decoder."""
        for term in self.terms.values():
            x, y = self.source_of(term.x)[1], self.codes[term.y]
            told = y.view == view and y.encoder.represents == "features"
            if told and x.encoder.tower == "image" and term.decoder is not None:
                return term
        return None

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups of terms."""
        return tuple(sorted({term.group for term in self.terms.values()}))

    @property
    def together(self) -> int:
        """Neighbouring rows of a batch that a micro-batch must not part."""
        return max((derived.group or 1 for derived in self.views.values()), default=1)

    def source_of(self, name: str) -> tuple[str, Code]:
        """The encoded code that `name` is, or is a region of."""
        code = self.codes[name]
        return (code.code, self.codes[code.code]) if isinstance(code, RegionCode) else (name, code)

    def decoders(self, nodes: Mapping) -> dict[str, int]:
        """Names of the decoders that the terms want, and the width each has to predict."""
        wanted = {}
        for name, term in self.terms.items():
            if term.decoder is None:
                continue
            width = self.codes[term.y].encoder.width(nodes)
            # Terms may share a decoder, whose last layer has one width.
            if wanted.setdefault(term.decoder, width) != width:
                raise ValueError(
                    f"term '{name}' wants decoder '{term.decoder}' to predict {width} dimensions, "
                    f"another term wants {wanted[term.decoder]}; give them decoders of their own"
                )
        return wanted

    def heads(self) -> set[str]:
        """Names of the feature heads that codes pass through, and of those beside them."""
        encoders = [code.encoder for code in self.encoded.values()]
        of = lambda e: (*e.heads, *e.extra_heads, *e.online_heads)  # noqa: E731
        return {head for encoder in encoders for head in of(encoder)}

    def batchwise(self, parts: frozenset[str] = frozenset()) -> dict[str, str]:
        """Terms whose loss over a batch is not the mean over its parts, each with the reason.

        parts: towers and decoders of the network that couple the rows of a batch (batch norm).
        """
        reasons = {}
        for name, term in self.terms.items():
            ends = [self.source_of(end)[1].encoder for end in (term.x, term.y)]
            if term.predict.batchwise:
                reasons[name] = "it contrasts each row with the others of the batch"
            elif term.regularize and term.regularize.batchwise:
                reasons[name] = "its regulariser is a statistic of the batch"
            elif any(slot.batchwise for encoder in ends for slot in encoder.slots):
                reasons[name] = "its target keeps a statistic of the batch"
            elif any(encoder.batchwise for encoder in ends):
                reasons[name] = "its target is assigned by the whole batch"
            elif parts & {term.decoder, *(part for e in ends for part in (e.tower, *e.heads))}:
                reasons[name] = "its encoder or decoder normalises over the batch"
        return reasons
