"""The method that repairs what a generator corrupted: CIM.

Fang et al. 2022, https://arxiv.org/abs/2202.03382; docs/methods.md#cim.

A small generator sees a part of the image and predicts the visual tokens of the rest; these are
decoded into the image, which no longer tells where it was hidden; an enhancer of any kind repairs
it, or finds them. Both train at once, and no gradient flows from one to the other.
"""

from typing import Annotated

from m3i_jax import framework as fw
from m3i_jax import masks, renamed
from m3i_jax.build import lookup
from m3i_jax.framework import Code, Encoder, Masking, Method, Term
from m3i_jax.ranges import Hidden, PositiveWeight, Temperature, Vocabulary
from m3i_jax.texts import OneOf


@renamed.arguments(codes="vocabulary")
def cim(
    target: Encoder | None = None,
    *,
    task: Annotated[str, OneOf("respix", "revdet")] = "respix",
    weight: PositiveWeight | None = None,
    tokenizer: Annotated[str, OneOf(*fw.TOKENIZERS)] = "vq",
    vocabulary: Vocabulary = 8192,
    hidden: Hidden = 100 / 196,
    blockwise: bool = False,
    sampling: Annotated[str, OneOf("softmax", "argmax", "uniform")] = "softmax",
    temperature: Temperature = 1.0,
    corruption: Annotated[str, OneOf("generator", "erasing")] = "generator",
) -> Method:
    """CIM: view a with tokens replaced by a generator's → its pixels, or which were (Fang 2022).

    L = CE(target tokens | visible patches) + w·L_task; "respix": mean |e| + mean e² over all pixels
    by their windows, w = 10; "revdet": binary cross-entropy over all cells, w = 1. ViT-B, 300
    epochs: 83.3 % fine-tuned by ResPix (CIM Tables 4 to 6). `corruption` "erasing" repairs random
    erasing instead, without a generator, which the paper says fails (Table 8).
    https://arxiv.org/abs/2202.03382, §2; docs/methods.md#cim.

    task: "respix" or "revdet".  weight: w; None takes the paper's.
    tokenizer: whose visual tokens: "dalle" or "vq".
    hidden: share of the patches that the generator predicts.  blockwise: hidden in blocks.
    sampling: how a token is drawn from the prediction, "softmax", "argmax" or "uniform".
    temperature: of that softmax.  corruption: by a "generator", or by "erasing".
    """
    y, enhance = lookup(TASKS, task, what="task")(target)
    enhance = enhance if weight is None else enhance._replace(weight=weight)
    if lookup(ERASES, corruption, what="corruption"):
        if task != "respix":
            raise ValueError(f"erased pixels are repaired by task 'respix', not by '{task}'")
        view = {"erased": fw.erased("a", hidden=hidden)}
        return Method({"x": Code("erased", fw.online()), "y": y}, {task: enhance}, view)
    tokens = lookup(fw.TOKENIZERS, tokenizer, what="tokenizer")(vocabulary=vocabulary)
    draw = masks.blockwise if blockwise else masks.random
    corrupted = fw.corrupted(
        "a",
        target="golden",
        prediction="guess",
        decoder="words",
        tokenizer=tokens,
        sampling=sampling,
        temperature=temperature,
    )
    # The names of codes are seeds of their masks, and stay.
    codes = {
        "golden": Code("a", tokens.encode),
        "guess": Code("a", fw.online("generator"), Masking(draw, hidden)),
        "x": Code("corrupted", fw.online()),
        "y": y,
    }
    predicted = Term("guess", "golden", "words", fw.categorical(), positions="hidden")
    return Method(codes, {"words": predicted, task: enhance}, {"corrupted": corrupted})


def _respix(target):
    both = fw.product(fw.laplace(), fw.gaussian())
    y = Code("a", target or fw.pixels(normalization="window"))
    return y, Term("x", "y", "pixels", both, weight=10.0)


def _revdet(target):
    if target is not None:
        raise ValueError("task 'revdet' predicts what was replaced and has no target to choose")
    return Code("corrupted", fw.replaced()), Term("x", "y", "replaced", fw.bernoulli())


TASKS = {"respix": _respix, "revdet": _revdet}
ERASES = {"generator": False, "erasing": True}  # corruption -> whether it just erases
