"""P̂(z_y | ẑ_y): how a predicted code is compared with its target, as the table names it.

A distribution scores (prediction, target) as −log P̂ up to a constant, one value per position.
A regulariser scores how much information the target codes keep, one scalar per term, or one for
all terms that share it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int

from m3i_jax import losses, normalize
from m3i_jax.framework import information
from m3i_jax.framework.information import Evidence
from m3i_jax.parallel import tables
from m3i_jax.types import Array, Box, Objects

# What a decoder says: (B, L, D), (B, D), or, of objects, a record of arrays.
Answer = Any


class Target(NamedTuple):
    """The code to predict, aligned so that row i belongs to row i of the prediction.

    tokens: (B, L, D).  pooled: (B, D), or (B, k, D), several of them.  candidates: (M, D).
    target_index: (B,) int32, the row of `candidates` that `pooled` is; (B, k) of k of them, (B, L)
      tokens of a vocabulary, (B, H, W) categories of pixels.
    valid: (M,) bool, candidates that exist.  box: of the target view.
    asked: (B, L) bool, the tokens that are scored where it is not for the term to say.
    map: (B, H, W, D), what is said of every pixel.
    objects: of an image.   size: its height and width in pixels, which they are in.
    identity: (B,) int32, equal where rows of `pooled` are positives of each other; (B, k) of k.
    """

    tokens: Float[Array, "batch tokens dim"] | None = None
    pooled: Float[Array, "batch *choices dim"] | None = None
    candidates: Float[Array, "candidates dim"] | None = None
    target_index: Int[Array, " batch *choices"] | None = None
    valid: Bool[Array, " candidates"] | None = None
    box: Box | None = None
    asked: Bool[Array, "batch tokens"] | None = None
    identity: Int[Array, "batch ..."] | None = None
    map: Float[Array, "batch height width channels"] | None = None
    objects: Objects | None = None
    size: tuple[int, int] | None = None


class Distribution(NamedTuple):
    """−log P̂ of a prediction.

    name: as in Table 5.  score: (prediction, Target) -> (B,) or (B, L) float32.
    batchwise: whether a row's value depends on other rows of the batch.
    dense: whether it compares tokens, or one pooled code per row.
    evidence: (prediction, Target, row weights) -> Evidence of the mutual information, in nats.
    candidates: what the right code is told apart from, for the table.
    identities: whether every row of the target's identity is right, see `Code.identity`.
    weighed: whether other rows decide no more than how much a row counts: one alone has a value.
    """

    name: str
    score: Callable[[Answer, Target], Float32[Array, "*positions"]]
    batchwise: bool = False
    dense: bool = True
    evidence: (
        Callable[[Float[Array, "*positions dim"], Target, Float[Array, " batch"]], Evidence] | None
    ) = None
    candidates: str | None = None
    identities: bool = False
    weighed: bool = False


class Regularizer(NamedTuple):
    """−H(z_y): (prediction, Target) -> scalar, to be minimised.

    random: whether it draws something in each step: the score gets a key, too, of all terms one.
    pooled: one value over the predictions of all terms of a group that have this regulariser, as if
      they were rows of one batch (MSN's anchors); it sees no target.
    """

    name: str
    score: Callable[..., Float32[Array, ""]]
    batchwise: bool = True
    pooled: bool = False
    random: bool = False


def tokenwise(name: str, loss: Callable[..., Float32[Array, "*positions"]]) -> Distribution:
    """A distribution around the predicted tokens: −log P̂ is loss(prediction, tokens), (B, L).

    Any of docs/methods.md#prediction-terms, or a loss of a method's own.
    """
    score = lambda prediction, target: loss(prediction, target.tokens)  # noqa: E731
    return Distribution(name, score, evidence=information.of_tokens)


def _pooled(name: str, loss: Callable[..., Float32[Array, "*positions"]]) -> Distribution:
    """A distribution around the predicted global code."""
    score = lambda prediction, target: loss(prediction, target.pooled)  # noqa: E731
    return Distribution(name, score, dense=False, evidence=information.of_pooled)


def gaussian(*, sigma2: float | None = None, dense: bool = True) -> Distribution:
    """Gaussian, Σ_d e²/(2σ²); mean squared error by default (docs/methods.md#prediction-terms)."""
    return (tokenwise if dense else _pooled)("Gaussian", partial(losses.gaussian, sigma2=sigma2))


def cosine(*, dense: bool = False) -> Distribution:
    """Gaussian with σ² = ½ on unit vectors: 2 − 2 cos.

    BYOL (Grill et al. 2020, Eq. 2, https://arxiv.org/abs/2006.07733), MILAN.
    """
    distribution = (tokenwise if dense else _pooled)("Gaussian", losses.cosine)
    # The loss sees directions only, so lengths say nothing about what was predicted.
    return distribution._replace(evidence=information.on_sphere(distribution.evidence))


def laplace() -> Distribution:
    """Laplace over tokens: mean absolute error.

    SimMIM (Xie et al. 2022, §3.4, https://arxiv.org/abs/2111.09886).
    """
    return tokenwise("Laplace", losses.laplace)


def huber(*, delta: float = 1.0) -> Distribution:
    """Huber over tokens; data2vec and FD have δ = 2 (docs/methods.md#prediction-terms)."""
    return tokenwise("Huber", partial(losses.huber, delta=delta))


def bernoulli() -> Distribution:
    """Bernoulli over tokens of zeros and ones: was this cell replaced?

    CIM's RevDet (Fang et al. 2022, §2, https://arxiv.org/abs/2202.03382).
    """

    def score(logits, target):
        return losses.bernoulli(logits, target.tokens).mean(-1)

    return Distribution("Bernoulli", score)


def product(first: Distribution, second: Distribution) -> Distribution:
    """P̂ ∝ P̂₁ P̂₂: the sum of two losses of one kind.

    CIM's ResPix is Laplace and Gaussian (Fang et al. 2022, §2, https://arxiv.org/abs/2202.03382).
    """

    def score(prediction, target):
        return first.score(prediction, target) + second.score(prediction, target)

    # What is not replaced, `dense` and the evidence, is the first's: the two are of one kind.
    return first._replace(name=f"{first.name} · {second.name}", score=score)


def categorical(*, candidates: str = "visual tokens") -> Distribution:
    """Boltzmann over a vocabulary: the decoder's last layer holds the codes.

    BEiT (Bao et al. 2022, https://arxiv.org/abs/2106.08254).

    candidates: "visual tokens", or "words" of a text.
    """
    score = lambda logits, target: losses.categorical(logits, target.target_index)  # noqa: E731
    return Distribution(
        "Boltzmann", score, evidence=information.of_vocabulary, candidates=candidates
    )


def boltzmann(
    *,
    temperature: float = 1.0,
    label_smoothing: float = 0.0,
    unit: bool = False,
    candidates: str = "categories",
) -> Distribution:
    """Boltzmann over the target's candidates: softmax cross-entropy (docs/methods.md#candidates).

    unit: compare directions. The evidence is taken without the smoothing.
    candidates: "categories" of a table, or "samples" of the batch.
    """

    of_table = candidates == "categories"

    def smoothed(smoothing):
        def score(prediction, target):
            if of_table:
                prediction = tables.beside(prediction, target.candidates)
            return losses.boltzmann(
                normalize.unit(prediction) if unit else prediction,
                normalize.unit(target.candidates) if unit else target.candidates,
                target.target_index,
                temperature=temperature,
                label_smoothing=smoothing,
                valid=target.valid,
            )

        return score

    # A table has the same rows for every sample; samples of the batch are each other's candidates.
    evidence = information.of_choice if of_table else information.of_batch
    return Distribution(
        "Boltzmann",
        smoothed(label_smoothing),
        batchwise=candidates == "samples",
        dense=False,
        evidence=evidence(smoothed(0.0)),
        candidates=candidates,
    )


def sought(*, temperature: float = 0.1) -> Distribution:
    """Boltzmann over the batch's predictions: every target has to find its own among them.

    NNCLR (Dwibedi et al. 2021, Eq. 3, https://arxiv.org/abs/2104.14548).
    """

    def score(prediction, target):
        found, right = normalize.unit(target.pooled), normalize.unit(prediction)
        return losses.boltzmann(found, right, target.target_index, temperature=temperature)

    about = dict(evidence=information.of_batch(score), candidates="samples")
    return Distribution("Boltzmann", score, batchwise=True, dense=False, **about)


def binary() -> Distribution:
    """Bernoulli for every category of a table by itself: is it in the image?

    DeiT III (Touvron et al. 2022, https://arxiv.org/abs/2204.07118).
    """

    def score(prediction, target):
        # (B,) of one category, or (B, k) of a blend, whose images show k.
        present = target.target_index.reshape(len(prediction), -1)
        prediction = tables.beside(prediction, target.candidates)
        return losses.binary(prediction, target.candidates, present)

    return Distribution("Bernoulli", score, dense=False, candidates="categories")


def info_nce(*, temperature: float = 1.0, candidates: str = "texts") -> Distribution:
    """Boltzmann over the global batch in both directions.

    CLIP (Radford et al. 2021, Fig. 3, https://arxiv.org/abs/2103.00020).
    """

    def score(prediction, target):
        return losses.info_nce(
            prediction,
            target.candidates,
            target.target_index,
            temperature=temperature,
            valid=target.valid,
        )

    evidence = information.of_batch(score)
    return Distribution(
        "Boltzmann", score, batchwise=True, dense=False, evidence=evidence, candidates=candidates
    )


def pairwise_sigmoid() -> Distribution:
    """Bernoulli for every pair of the batch; the last dimension predicted is the bias.

    SigLIP (Zhai et al. 2023, Algorithm 1, https://arxiv.org/abs/2303.15343).
    """

    def score(prediction, target):
        # (B, D + 1): the head puts its bias behind every row, the same one; the first will do.
        return losses.pairwise_sigmoid(
            prediction[:, :-1],
            target.candidates,
            target.target_index,
            bias=prediction[0, -1],
            valid=target.valid,
        )

    return Distribution("Bernoulli", score, batchwise=True, dense=False, candidates="texts")


def contrast(*, temperature: float = 0.2, dense: bool = False) -> Distribution:
    """Boltzmann over the target itself and a queue of earlier ones.

    MoCo (He et al. 2020, Eq. 1, https://arxiv.org/abs/1911.05722), DenseCL.
    """

    def score(prediction, target):
        positive = target.tokens if dense else target.pooled
        return losses.contrast(
            normalize.unit(prediction),
            normalize.unit(positive),
            target.candidates,
            temperature=temperature,
        )

    return Distribution(
        "Boltzmann", score, dense=dense, evidence=information.of_queue(score), candidates="samples"
    )


def nt_xent(*, temperature: float = 0.1) -> Distribution:
    """Boltzmann over all other views of the batch, with gradient to both sides.

    SimCLR (Chen et al. 2020, Eq. 1, https://arxiv.org/abs/2002.05709), where every sample has an
    identity of its own; SupCon (Khosla et al. 2020, Eq. 2), where labels are identities.
    """

    def score(prediction, target):
        one, other = normalize.unit(prediction), normalize.unit(target.pooled)
        return losses.sup_con(one, other, target.identity, temperature=temperature)

    # A batch of B images has 2B − 1 others: both views of every other image, and its own other one.
    about = dict(evidence=information.of_batch(score, per_row=2), candidates="samples")
    return Distribution("Boltzmann", score, batchwise=True, dense=False, identities=True, **about)


def dense_contrast(*, temperature: float = 0.2) -> Distribution:
    """Boltzmann over an image's tokens and the mean tokens of the others (form h).

    docs/methods.md#table2.
    """

    def score(prediction, target):
        tokens = normalize.unit(target.tokens)
        # (B, D): all L tokens of all other images would be B·L candidates for each of B·L tokens.
        others = normalize.unit(target.tokens.mean(1))
        return losses.dense_contrast(
            normalize.unit(prediction), tokens, others, temperature=temperature
        )

    evidence = information.of_batch(score, tokens=True)
    return Distribution("Boltzmann", score, batchwise=True, evidence=evidence, candidates="samples")


def cross_entropy(*, temperature: float = 0.1, dense: bool = False) -> Distribution:
    """Boltzmann over prototypes, the target a share of each: −Σ p log softmax(ẑ/τ).

    DINO (Caron et al. 2021, Eq. 2, https://arxiv.org/abs/2104.14294), MSN; dense: of tokens, iBOT.
    """

    def score(prediction, target):
        shares = target.tokens if dense else target.pooled
        return losses.cross_entropy(prediction, shares, temperature=temperature)

    evidence = information.of_shares(score, dense=dense)
    what = dict(dense=dense, evidence=evidence, candidates="prototypes")
    return Distribution("Boltzmann", score, **what)


def invariance() -> Distribution:
    """Σ_d (1 − C_dd)²: what a Gaussian says of codes standardised over the batch.

    Barlow Twins (Zbontar et al. 2021, Eq. 1, https://arxiv.org/abs/2103.03230).
    """

    def score(prediction, target):
        # A statistic of the batch has no rows: each gets all of it, so that their mean is it.
        return jnp.full(prediction.shape[:1], losses.invariance(prediction, target.pooled))

    return Distribution(
        "Gaussian", score, batchwise=True, dense=False, evidence=information.of_standardized
    )


def gram() -> Distribution:
    """Gaussian around the cosines of an image's tokens with each other: Gram anchoring.

    DINOv3 (Siméoni et al. 2025, https://arxiv.org/abs/2508.10104): a term of any method, whose
    target is a frozen encoder that sees the same view.
    """
    # No evidence: what is predicted are (L, L) numbers, whose density nobody estimates.
    return Distribution("Gaussian", lambda x, target: losses.gram(x, target.tokens))


def nothing() -> Distribution:
    """No prediction: of a term that is its regulariser alone (docs/methods.md#dinov2)."""
    score = lambda prediction, target: jnp.zeros(len(prediction), jnp.float32)  # noqa: E731
    return Distribution("–", score, dense=False)
