"""M3I: several inputs and several targets at once.

Su et al. 2023, §3.4, https://arxiv.org/abs/2211.09807; docs/methods.md#m3i.

category, text, image: what is predicted.  mix: whether two images are mixed.
category_weight, text_weight: of these terms.
target_view_first, target_view_second: whether the target of an image of the mix is the "same"
  view of it that the mix shows, or a "different" one.
decoder_tokens: what a decoder sees of the mix, the "own" tokens of its image or "all".
positions: which positions are scored, "all" or those that are "hidden" from the input.
"""

from typing import Annotated

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.framework import Code, Encoder, Masking, Method, RegionCode, Term
from m3i_jax.ranges import CountOrOff, Hidden, Smoothing, Weight
from m3i_jax.texts import OneOf

InputView = Annotated[str, OneOf("same", "different")]


def m3i(
    target: Encoder | None = None,
    *,
    category: bool = True,
    text: bool = True,
    image: bool = True,
    mix: bool = True,
    hidden: Hidden = 0.5,
    target_view_first: InputView = "same",
    target_view_second: InputView = "different",
    decoder_tokens: Annotated[str, OneOf("own", "all")] = "own",
    positions: str = "all",
    negative_weight: Weight = 0.0,
    label_smoothing: Smoothing = 0.1,
    category_weight: Weight = 1.0,
    text_weight: Weight = 1.0,
    mix_group: CountOrOff = 0,
) -> Method:
    """M3I: two images mixed by patches; own view, other view, category and text predicted at once.

    L = L_intra + L_inter + λ(L_category + L_text)   (M3I Eq. 4 and 13; docs/methods.md#m3i)

    The unhidden region shows view a of image i (intra: "same" view as its target), the blocks
    view b of image j = σ(i) (inter: "different"); both targets are views a, so the target encoder
    runs once per image. `target_view_first`/`_second` choose among Table 14's (a) same, same;
    (b) different, different; (c) different, same; (d) same, different.
    L_category and L_text count as they are unless `category_weight`, `text_weight` say otherwise.
    mix=False is Table 3's "w/o mix": blocks of view b are dropped and view a is predicted.
    mix_group: images are mixed within consecutive groups of this many rows (0: the whole batch).
    """
    regularize = fw.alignment(negative_weight) if negative_weight else None
    pool = fw.boltzmann(label_smoothing=label_smoothing)
    if mix:
        first, second = (_input_view(choice) for choice in (target_view_first, target_view_second))
        views = {"mix": fw.mixed(first, second, hidden=hidden, group=mix_group or None)}
        codes = {"x": Code("mix", fw.online())}
        codes |= {r: RegionCode("x", r, decoder_tokens) for r in ("first", "second")}
        names = {"first": "intra" if first == "a" else "inter_first",
                 "second": "inter" if second == "b" else "intra_second"}  # fmt: skip
    else:
        views, names = {}, {"x": "inter"}
        codes = {"x": Code("b", fw.online(), Masking(masks.blockwise, hidden))}
    codes |= {"y": Code("a", fw.standardize(target or fw.ema()))} if image else {}
    codes |= {"category": Code("label", fw.online("category"))} if category else {}
    codes |= {"text": Code("text", fw.online("text"))} if text else {}
    terms = {}
    for x, name in names.items():
        side = f"_{x}" if mix else ""
        if image:
            terms[name] = Term(x, "y", "image", fw.gaussian(), regularize, positions)
        # One problem per image of the mix; the losses of the two images are averaged.
        share = 1.0 / len(names)
        for kind, wanted, predict, weight in (
            ("category", category, pool, category_weight),
            ("text", text, fw.info_nce(), text_weight),
        ):
            if wanted:
                terms[kind + side] = Term(x, kind, kind, predict, weight=weight * share, group="sp")
    return Method(codes, terms, views)


def _input_view(choice: str) -> str:
    """The view that an image of the mix shows, given whether it is that of its target, view a."""
    if choice not in ("same", "different"):
        raise ValueError(f"a target view is 'same' or 'different' from the input, not '{choice}'")
    return "a" if choice == "same" else "b"
