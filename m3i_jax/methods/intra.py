"""Methods that predict a view from itself, whole or masked (M3I Table 5, intra-view).

`target` is the encoder that provides what is predicted, where the method leaves it open.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated

from m3i_jax import framework as fw
from m3i_jax import masks, renamed
from m3i_jax.build import lookup
from m3i_jax.framework import Code, Encoder, Masking, Method, Term
from m3i_jax.ranges import Depth, Hidden, Memory, Range, Temperature, Vocabulary, Weight
from m3i_jax.texts import OneOf


def feature_distillation(target: Encoder | None = None) -> Method:
    """FD: view a → whitened dense features of a frozen teacher (Wei et al. 2022).

    Huber with β = 2 on LN0 of the teacher's tokens, the class token among them; decoder: one linear
    layer. CLIP ViT-B/16 as teacher: 84.9 % fine-tuned. M3I Table 5, dense distillation.
    https://arxiv.org/abs/2205.14141; docs/methods.md#feature_distillation.
    """
    y = fw.standardize(target or fw.frozen(class_token=True))
    codes = {"x": Code("a", fw.online()), "y": Code("a", y)}
    return Method(codes, {"dense": Term("x", "y", "dense", fw.huber(delta=2.0))})


@renamed.arguments(codes="vocabulary")
def vq_kd(
    target: Encoder | None = None,
    *,
    vocabulary: Vocabulary = 8192,
    decay: Memory = 0.99,
    commitment: Weight = 1.0,
) -> Method:
    """VQ-KD, BEiT v2's tokenizer: view a → 32-d tokens → features of a frozen teacher (Peng 2022).

    L = E(1 − cos) + E mean_d (sg(z_q) − z)²: what the decoder makes of the tokens is to have the
    teacher's direction, and they stay near their entries. Codebook by moving averages, no gradient.
    https://arxiv.org/abs/2208.06366, §2.2; docs/methods.md#vq_kd.

    decay: what an entry keeps of itself in a step.  commitment: weight of tokens staying near.
    """
    codes, near = _quantizer(vocabulary, decay, commitment)
    codes["y"] = Code("a", target or fw.frozen())
    # 1 − cos is half of a Gaussian with σ² = ½ on unit vectors.
    return Method(codes, {"dense": Term("x", "y", "dense", fw.cosine(dense=True), weight=0.5),
                          "commitment": near})  # fmt: skip


@renamed.arguments(codes="vocabulary")
def vq_vae(
    *, vocabulary: Vocabulary = 8192, decay: Memory = 0.99, commitment: Weight = 1.0
) -> Method:
    """VQ-VAE: view a → 32-d tokens → its pixels, a tokenizer that can decode (van den Oord 2017).

    L = mean e² + E mean_d (sg(z_q) − z)²: VQ-KD's tokens of unit length, of which the token
    decoder, `painter`, makes the image again; CIM takes both from it.
    https://arxiv.org/abs/1711.00937, Eq. 3; docs/methods.md#vq_vae.

    decay: what an entry keeps of itself in a step.  commitment: weight of tokens staying near.
    """
    codes, near = _quantizer(vocabulary, decay, commitment)
    codes["y"] = Code("a", fw.pixels(normalization="raw"))
    return Method(codes, {"pixels": Term("x", "y", "painter", fw.gaussian()), "commitment": near})


def _quantizer(vocabulary: int, decay: float, commitment: float):
    """Codes of view a rounded to visual tokens, and the term that keeps them near."""
    quantized = fw.quantized(fw.online(heads="bottleneck"), vocabulary=vocabulary, decay=decay)
    codes = {
        "x": Code("a", quantized),
        "before": Code("a", fw.before(quantized)),
        "words": Code("a", fw.stopped(quantized)),
    }
    return codes, Term("before", "words", None, fw.gaussian(), weight=commitment)


def mae(target: Encoder | None = None, *, hidden: Hidden = 0.75) -> Method:
    """Masked autoencoder: visible patches of view a → pixels of its hidden ones (He et al. 2022).

    −log P̂ = mean squared error on patches normalised by their own statistics. No regulariser:
    pixels cannot collapse. ViT-B, 1600 epochs: 83.6 % fine-tuned, 68.0 % linear.
    https://arxiv.org/abs/2111.06377, §3; docs/methods.md#mae.
    """
    mask = Masking(masks.random, hidden)
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", target or fw.pixels())}
    return Method(codes, {"pixels": Term("x", "y", "image", fw.gaussian(), positions="hidden")})


def pixio(
    target: Encoder | None = None, *, hidden: Hidden = 0.75, unit: Annotated[int, Range(1, 256)] = 4
) -> Method:
    """Pixio: MAE whose hidden patches come in squares, with a deep decoder (Yang et al. 2025).

    −log P̂ = mean e² over hidden pixels, normalised by patch; squares of 4 x 4 patches at 256 pixels
    leave no visible neighbours to copy from, and 32 blocks of decoder leave the encoder to what is
    worth knowing. https://arxiv.org/abs/2512.15715; docs/methods.md#pixio.

    unit: side, in cells, of the squares that are hidden whole.
    """
    draw = partial(masks.units, unit=unit)
    mask = Masking(draw, hidden, exact=partial(masks.count_units, unit=unit))
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", target or fw.pixels())}
    return Method(codes, {"pixels": Term("x", "y", "image", fw.gaussian(), positions="hidden")})


def simmim(
    target: Encoder | None = None, *, hidden: Hidden = 0.6, unit: Annotated[int, Range(1, 256)] = 2
) -> Method:
    """SimMIM: view a with mask tokens in units of cells → its hidden pixels (Xie et al. 2022).

    −log P̂ = mean |e| over hidden pixels (Laplace), decoder: one linear layer; the encoder keeps
    hidden cells as mask tokens. ViT-B, 800 epochs: 83.8 % fine-tuned.
    https://arxiv.org/abs/2111.09886, §3; docs/methods.md#simmim.

    unit: side, in cells, of the squares that are hidden whole.
    """
    draw = partial(masks.units, unit=unit)
    mask = Masking(draw, hidden, exact=partial(masks.count_units, unit=unit))
    target = target or fw.pixels(normalization="raw")
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", target)}
    return Method(codes, {"pixels": Term("x", "y", "pixels", fw.laplace(), positions="hidden")})


def maskfeat(target: Encoder | None = None, *, hidden: Hidden = 0.4) -> Method:
    """MaskFeat: view a with mask tokens in blocks → edges of its hidden patches (Wei et al. 2022).

    −log P̂ = mean e² over histograms of oriented gradients, 2 x 2 cells of 9 bins for each channel
    of a patch; decoder: one linear layer. ViT-B, 1600 epochs: 84.0 % fine-tuned.
    https://arxiv.org/abs/2112.09133, §2; docs/methods.md#maskfeat.
    """
    mask = Masking(partial(masks.blockwise, least=15), hidden)
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", target or fw.hog())}
    return Method(codes, {"edges": Term("x", "y", "edges", fw.gaussian(), positions="hidden")})


def ijepa(
    target: Encoder | None = None,
    *,
    hidden: Hidden = 0.75,
    blocks: Annotated[int, Range(1, 16)] = 4,
) -> Method:
    """I-JEPA: a context of view a → blocks of the average's features of all of it (Assran 2023).

    −log P̂ = Huber with β = 1 on LN0 of the moving average's tokens (.996 → 1), mean over
    blocks that the predictor is asked for one by one; crops are all the augmentation. ViT-H/14, 300
    epochs: 79.3 % linear. https://arxiv.org/abs/2301.08243, §3; docs/methods.md#ijepa.

    hidden: share of the patches that the context lacks.  blocks: how many are predicted.
    """
    target = target or fw.ema(momentum=0.996, schedule="linear")
    draw = partial(masks.multiblock, blocks=blocks)
    mask = Masking(draw, hidden, blocks=blocks, most=masks.most_of_block)
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", fw.standardize(target))}
    return Method(codes, {
        f"block_{i}": Term("x", "y", "image", fw.huber(), weight=1 / blocks, block=i)
        for i in range(blocks)
    })  # fmt: skip


def capi(
    target: Encoder | None = None,
    *,
    hidden: Hidden = 0.65,
    asked: Annotated[float, Range(1e-3, 1)] = 0.05,
    temperature: Temperature = 0.12,
    target_temperature: Temperature = 0.06,
) -> Method:
    """CAPI: a block of view a → the clusters of few hidden patches, by the average (Darcet 2025).

    L = CE(p, ẑ/τ) + CE(p, a/τ), a the logits of a clustering head on the average's tokens, which
    the second term alone trains, p those at τ_t, balanced by Sinkhorn at each position of the image
    by itself. ViT-L: 82.9 % by an attentive probe. https://arxiv.org/abs/2502.08769, §3;
    docs/methods.md#capi.

    asked: share of the hidden patches that are predicted.
    temperature: τ.  target_temperature: τ_t.
    """
    draw = partial(masks.inverse_block, asked=asked)
    most = partial(masks.count_asked, hidden=hidden, asked=asked)
    target = target or fw.ema(momentum=0.999, stretch=1.25)
    how = fw.balancing(temperature=target_temperature, per_position=True)
    codes = {
        "x": Code("a", fw.online(), Masking(draw, hidden, blocks=1, most=most)),
        "y": Code("a", fw.assigned(fw.shared_heads(target, "clusters"), tokens=how)),
        "logits": Code("a", fw.shared_heads(target, "clusters", trained=True)),
    }
    predict = fw.cross_entropy(temperature=temperature, dense=True)
    patches = Term("x", "y", "image", predict, block=0)
    return Method(codes, {"patches": patches, "clusters": Term("logits", "y", None, predict)})


def data2vec(target: Encoder | None = None, *, hidden: Hidden = 0.6, layers: Depth = 6) -> Method:
    """data2vec: masked view a → last layers of the moving average (Baevski et al. 2022).

    Huber with β = 2 on LN0 of the mean of LN0 of `layers` block outputs, at hidden positions; 120
    of 196 patches hidden blockwise. ViT-B, 800 epochs: 84.2 % fine-tuned.
    https://arxiv.org/abs/2202.03555; docs/methods.md#data2vec.

    layers: last blocks of the moving average whose mean is predicted.
    """
    target = fw.last_layers(target or fw.ema(momentum=0.9998, end=0.9998), count=layers)
    mask = Masking(masks.blockwise, hidden)
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", target)}
    return Method(
        codes, {"dense": Term("x", "y", "dense", fw.huber(delta=2.0), positions="hidden")}
    )


def milan(target: Encoder | None = None, *, hidden: Hidden = 0.75) -> Method:
    """MILAN: attended patches of view a → a CLIP teacher's tokens, all of them (Hou et al. 2022).

    −log P̂ = 2 − 2cos, of the class token, too. Kept patches are drawn with probability ∝ the
    teacher's attention from its class token; the decoder only prompts. ViT-B, 400 epochs: 85.4 %
    fine-tuned. https://arxiv.org/abs/2208.06049; docs/methods.md#milan.
    """
    guide = fw.attentive(target or fw.frozen(heads="teacher_head", class_token=True))
    mask = Masking(masks.weighted, hidden, guide="y")
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", guide)}
    return Method(codes, {"dense": Term("x", "y", "image", fw.cosine(dense=True))})


@renamed.arguments(codes="vocabulary")
def beit(
    *,
    hidden: Hidden = 75 / 196,
    vocabulary: Vocabulary = 8192,
    tokenizer: Annotated[str, OneOf(*fw.TOKENIZERS)] = "vq",
) -> Method:
    """BEiT: masked view a → visual tokens of its hidden patches (Bao et al. 2022).

    −log P̂ = softmax cross-entropy over the vocabulary, at hidden positions; 75 of 196 patches
    hidden blockwise. ViT-B, 800 epochs: 83.2 % fine-tuned. `tokenizer`: "dalle", as published, or
    "vq", one that this library trained. https://arxiv.org/abs/2106.08254, §2; docs/methods.md#beit.

    tokenizer: whose visual tokens: "dalle" or "vq".
    """
    return Method(
        *_visual_tokens(hidden, vocabulary, lookup(TOKENIZERS, tokenizer, what="tokenizer"))
    )


@renamed.arguments(codes="vocabulary")
def beit_v2(*, hidden: Hidden = 75 / 196, vocabulary: Vocabulary = 8192) -> Method:
    """BEiT v2: BEiT with VQ-KD's tokens, asked of the class token, too (Peng et al. 2022).

    L = CE + CE_class: `class_branch` lets the last class token and the patches of an early block
    speak through two extra blocks and the same head. ViT-B, 1600 epochs: 85.5 % fine-tuned.
    https://arxiv.org/abs/2208.06366, §2.3; docs/methods.md#beit_v2.
    """
    codes, terms = _visual_tokens(hidden, vocabulary)
    branch = fw.layered(fw.online(heads="class_branch"))
    codes["branch"] = Code("a", branch, codes["x"].mask)
    terms["words_class"] = terms["words"]._replace(x="branch")
    return Method(codes, terms)


def cae(
    *,
    hidden: Hidden = 0.5,
    vocabulary: Vocabulary = 8192,
    tokenizer: Annotated[str, OneOf(*fw.TOKENIZERS)] = "vq",
    weight: Weight = 2.0,
) -> Method:
    """CAE: visible patches of view a → latents of its hidden ones → visual tokens (Chen 2022).

    L = CE + w mean e², e between what the regressor makes of visible patches and what the encoder
    makes of the hidden ones alone, held; the decoder reads the former only. ViT-B, 1600 epochs:
    70.3 % linear, 77.2 % by an attentive probe, 83.9 % fine-tuned.
    https://arxiv.org/abs/2202.03026, §3; docs/methods.md#cae.

    tokenizer: whose visual tokens: "dalle" or "vq".  weight: w.
    """
    draw, most = partial(masks.asked_whole, draw=masks.blockwise), partial(masks.count, hidden)
    mask = Masking(draw, hidden, blocks=1, most=most)
    tokens = lookup(TOKENIZERS, tokenizer, what="tokenizer")(vocabulary=vocabulary)
    codes = {"z": Code("a", fw.online(heads="regressor"), mask),
             "y": Code("a", fw.stopped(fw.online()), fw.rest(mask, "z")),
             "golden": Code("a", tokens)}  # fmt: skip
    words = Term("z", "golden", "words", fw.categorical(), block=0)
    latents = Term("z", "y", None, fw.gaussian(), weight=weight)
    return Method(codes, {"words": words, "latents": latents})


def _vq_tokens(*, vocabulary: int) -> Encoder:
    return fw.visual_tokens(fw.frozen("tokenizer", heads="bottleneck"), vocabulary=vocabulary)


TOKENIZERS = {"vq": _vq_tokens, "dalle": fw.dalle_tokens}


def _visual_tokens(hidden: float, vocabulary: int, tokenizer: Callable[..., Encoder] = _vq_tokens):
    """Codes and terms of a prediction of visual tokens at hidden positions."""
    mask = Masking(masks.blockwise, hidden)
    codes = {"x": Code("a", fw.online(), mask), "y": Code("a", tokenizer(vocabulary=vocabulary))}
    return codes, {"words": Term("x", "y", "words", fw.categorical(), positions="hidden")}
