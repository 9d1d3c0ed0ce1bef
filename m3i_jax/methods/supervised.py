"""Methods whose targets are categories and texts (M3I Table 5, "supervised" and "weakly …")."""

from typing import Annotated

from m3i_jax import framework as fw
from m3i_jax import masks
from m3i_jax.framework import Code, Masking, Method, RegionCode, Term
from m3i_jax.ranges import CountOrOff, Dropped, Range, Smoothing, Vocabulary
from m3i_jax.texts import OneOf

# α of Beta(α, α); 0 switches off.
Alpha = Annotated[float, Range(0, 100)]


def _categories(binary: bool, label_smoothing: float):
    """P̂ of categories: one of them (softmax), or each by itself."""
    if binary and label_smoothing:
        raise ValueError("binary categories are not smoothed: set label_smoothing to 0")
    return fw.binary() if binary else fw.boltzmann(label_smoothing=label_smoothing)


def classification(*, label_smoothing: Smoothing = 0.1, binary: bool = False) -> Method:
    """Supervised classification: view a → category (M3I Table 5, row 1).

    −log P̂ = softmax cross-entropy over all rows of the class table, or `binary` cross-entropy of
    each of them by itself. ViT-B, 400 epochs: 81.8 % (M3I Table 3). docs/methods.md#classification.

    binary: a cross-entropy for each category by itself, in place of the softmax.
    """
    codes = {"x": Code("a", fw.online()), "category": Code("label", fw.online("category"))}
    predict = _categories(binary, label_smoothing)
    return Method(codes, {"category": Term("x", "category", "category", predict, group="sp")})


def mixed_classification(
    *,
    mixup: Alpha = 0.8,
    cutmix: Alpha = 1.0,
    label_smoothing: Smoothing = 0.1,
    binary: bool = False,
    least: Annotated[
        float, Range(0, 0.5, below=True, why="one share is always half or more")
    ] = 0.0,
    per: Annotated[str, OneOf("batch", "row")] = "batch",
    mix_group: CountOrOff = 0,
) -> Method:
    """Mixup and CutMix: two images in one view → both categories (M3I Eq. 4 with N = M = 2).

    L = λ L_first + (1 − λ) L_second, λ the share of the first image (Zhang et al. 2018,
    https://arxiv.org/abs/1710.09412; Yun et al. 2019, https://arxiv.org/abs/1905.04899). The
    multi-input case of supervised pre-training. ViT-B by DeiT III, 800 epochs: 83.8 %.
    docs/methods.md#mixed_classification.

    mixup, cutmix: α of the Beta distribution that λ is drawn from; 0 switches off, both 0 make it
      `classification`.
    per: one λ for a "batch", as the recipes have it, or for each "row".
    binary: a BCE of each category by itself, of which an image shows its own where its share is
      more than `least` (0 DeiT III, 0.2 timm; docs/methods.md#fine-tuning).
    least: share from which on an image shows its category, where these are `binary`.
    mix_group: images are mixed within consecutive groups of this many rows (0: the whole batch),
      which `accumulate` must not cut.
    """
    if least and not binary:
        raise ValueError("shares weigh the categories unless they are binary: set least to 0")
    if not (mixup or cutmix):
        return classification(label_smoothing=label_smoothing, binary=binary)
    mixing = dict(mixup=mixup, cutmix=cutmix, least=least, per=per, group=mix_group or None)
    views = {"mix": fw.blended("a", **mixing)}
    codes = {"x": Code("mix", fw.online()), "category": Code("label", fw.online("category"))}
    predict, terms = _categories(binary, label_smoothing), {}
    for image in ("both",) if binary else ("first", "second"):
        codes[image] = RegionCode("x", image, "all")
        terms[f"category_{image}"] = Term(image, "category", "category", predict, group="sp")
    return Method(codes, terms, views)


def clip(*, hidden: Dropped = 0.0) -> Method:
    """CLIP: view a → text (Radford et al. 2021; M3I Table 5, row 2).

    L = mean of both directions of InfoNCE over the global batch, unit features, temperature
    learned by the decoder. `hidden` drops patches of the image (FLIP). ViT-B/16 on YFCC-15M, 25
    epochs: 37.6 % zero-shot, 66.5 % linear, 80.5 % fine-tuned (SLIP's baseline, M3I Table 4).
    https://arxiv.org/abs/2103.00020, Fig. 3; docs/methods.md#clip.
    """
    mask = Masking(masks.random, hidden) if hidden else None
    codes = {"x": Code("a", fw.online(), mask), "text": Code("text", fw.online("text"))}
    return Method(codes, {"text": Term("x", "text", "text", fw.info_nce(), group="sp")})


def siglip(*, hidden: Dropped = 0.0) -> Method:
    """SigLIP: CLIP with a sigmoid for every pair instead of a softmax (Zhai et al. 2023).

    L_i = Σ_j softplus(−y_ij (t ẑ_iᵀz_j + b)), y = ±1; t and b learned from 10 and −10. No sum over
    the batch inside the logarithm: a Bernoulli for each pair instead of a Boltzmann.
    https://arxiv.org/abs/2303.15343, Algorithm 1; docs/methods.md#siglip.
    """
    mask = Masking(masks.random, hidden) if hidden else None
    codes = {"x": Code("a", fw.online(), mask), "text": Code("text", fw.online("text"))}
    return Method(codes, {"text": Term("x", "text", "text", fw.pairwise_sigmoid(), group="sp")})


def cappa(*, words: Vocabulary = 32000) -> Method:
    """Cap and CapPa: view a → the words of its caption, one by one (Tschannen et al. 2023).

    −log P̂ = mean cross-entropy over the words that are no padding, each from those in front of it;
    of a share of the captions, all from none (`parallel` of the decoder, CapPa: .75). The encoder
    stays, the decoder goes. https://arxiv.org/abs/2306.07915, §3; docs/methods.md#cappa.

    words: how many words the captions' tokenizer knows.
    """
    codes = {"x": Code("a", fw.online()), "words": Code("text", fw.caption(words=words))}
    predict = fw.categorical(candidates="words")
    return Method(codes, {"caption": Term("x", "words", "caption", predict, group="sp")})
