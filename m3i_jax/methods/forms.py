"""The 12 forms of self-supervised pre-training of M3I's Table 2, from their three factors.

What is seen (the target's own view or another one, whole or masked) and what is predicted of it:
pixels, dense features or a global feature. Everything else is the same (docs/methods.md#table2).
"""

from typing import Annotated, NamedTuple

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.build import nearest
from m3i_jax.framework import Code, Encoder, Masking, Method, Term
from m3i_jax.ranges import Hidden, Temperature
from m3i_jax.texts import OneOf


class Form(NamedTuple):
    """A row of Table 2.

    name: in the table.  view: that the encoder sees; the target is view a.  masked: whether half
    of its patches are hidden.  target: "pixels", "dense" or "global".
    imagenet, coco: what the paper reports: top-1 fine-tuned and box AP, ViT-B/16, 400 epochs.
    """

    name: str
    view: str
    masked: bool
    target: str
    imagenet: float
    coco: float


FORMS = {
    "a": Form("auto-encoder", "a", False, "pixels", 77.5, 0.0),
    "b": Form("dense distillation", "a", False, "dense", 78.8, 32.4),
    "c": Form("global distillation", "a", False, "global", 77.1, 27.9),
    "d": Form("masked image modeling, pixels", "a", True, "pixels", 83.1, 46.8),
    "e": Form("masked image modeling, features", "a", True, "dense", 83.3, 47.4),
    "f": Form("masked image modeling, global", "a", True, "global", 83.2, 47.5),
    "g": Form("novel view synthesis", "b", False, "pixels", 78.8, 33.0),
    "h": Form("dense instance discrimination", "b", False, "dense", 83.2, 50.1),
    "i": Form("instance discrimination", "b", False, "global", 83.0, 46.4),
    "j": Form("siamese image modeling, pixels", "b", True, "pixels", 78.9, 38.1),
    "k": Form("siamese image modeling, features", "b", True, "dense", 83.7, 49.8),
    "l": Form("instance discrimination with mask", "b", True, "global", 82.9, 46.2),
}


def table2(
    target: Encoder | None = None,
    *,
    form: Annotated[str, OneOf(*FORMS)] = "k",
    hidden: Hidden = 0.5,
    temperature: Temperature = 0.2,
) -> Method:
    """One of the forms (a) to (l) of M3I's Table 2, by its letter.

    Pixels and dense features by a Gaussian over all positions of view a, asked of a decoder at
    their places relative to the input; dense and unmasked from another view (h) by a Boltzmann;
    global features among the batch by a Boltzmann, but a Gaussian for (f), as in its Table 5.
    Su et al. 2023, https://arxiv.org/abs/2211.09807; docs/methods.md#table2.

    form: its letter.  temperature: of the Boltzmann distributions.
    """
    if form not in FORMS:
        raise ValueError(f"Table 2 has no form '{form}'{nearest(form, FORMS)}")
    kind = FORMS[form]
    mask = Masking(masks.blockwise, hidden) if kind.masked else None
    if kind.target == "global":
        return _global(kind, mask, target, temperature, boltzmann=form != "f")
    y = target or fw.pixels() if kind.target == "pixels" else fw.standardize(target or fw.ema())
    predict = fw.dense_contrast(temperature=temperature) if form == "h" else fw.gaussian()
    codes = {"x": Code(kind.view, fw.online(), mask), "y": Code("a", y)}
    return Method(codes, {kind.target: Term("x", "y", "image", predict)})


def _global(kind: Form, mask: Masking | None, target, temperature: float, *, boltzmann: bool):
    """A global code: the mean token, behind a projector where it is told apart from others."""
    heads = ("projector",) if boltzmann else ()
    y = target or fw.ema(heads=heads)
    y = y if boltzmann else fw.averaged(y, standardized=True)
    predict = fw.gaussian(dense=False)
    if boltzmann:
        predict = fw.boltzmann(temperature=temperature, unit=True, candidates="samples")
    codes = {"x": Code(kind.view, fw.online(heads=heads), mask), "y": Code("a", y)}
    return Method(codes, {"global": Term("x", "y", "predictor", predict)})


def auto_encoder(target: Encoder | None = None) -> Method:
    """Auto-encoder: view a → its own pixels (M3I Table 2, a; docs/methods.md#auto_encoder)."""
    return table2(target, form="a")


def global_distillation(target: Encoder | None = None) -> Method:
    """Global distillation: view a → its own global feature (M3I Table 2, c).

    docs/methods.md#global_distillation.
    """
    return table2(target, form="c")


def mim_global(target: Encoder | None = None, *, hidden: Hidden = 0.5) -> Method:
    """Masked image modeling of the global feature (M3I Table 2, f): 83.2 % fine-tuned.

    docs/methods.md#mim_global.
    """
    return table2(target, form="f", hidden=hidden)


def novel_view_synthesis(target: Encoder | None = None) -> Method:
    """Novel view synthesis: view b → pixels of view a (M3I Table 2, g): 78.8 % fine-tuned.

    docs/methods.md#novel_view_synthesis.
    """
    return table2(target, form="g")


def siamese_im_pixel(target: Encoder | None = None, *, hidden: Hidden = 0.5) -> Method:
    """Siamese image modeling of pixels: masked view b → pixels of view a (M3I Table 2, j).

    docs/methods.md#siamese_im_pixel.
    """
    return table2(target, form="j", hidden=hidden)
