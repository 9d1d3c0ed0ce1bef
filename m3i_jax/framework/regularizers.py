"""Regularisers of codes: how they are kept apart where nothing else does, one value for a term."""

from m3i_jax import losses
from m3i_jax.framework.distributions import Regularizer


def alignment(weight: float) -> Regularizer:
    """weight · mean_n ẑᵀCẑ / D: SiameseIM's decorrelation.

    UniGrad (Tao et al. 2022, https://arxiv.org/abs/2112.05141); docs/methods.md#siamese_im.
    """

    def score(prediction, target):
        return weight * losses.alignment(prediction, target.tokens)

    return Regularizer("decorrelation", score)


def redundancy(weight: float) -> Regularizer:
    """weight · Σ_{d≠e} C_de²: Barlow Twins' decorrelation.

    Zbontar et al. 2021, Eq. 1, https://arxiv.org/abs/2103.03230.
    """

    def score(prediction, target):
        return weight * losses.redundancy(prediction, target.pooled)

    return Regularizer("decorrelation", score)


def spread(variance: float, covariance: float) -> Regularizer:
    """Σ over both codes of variance/2 · V(z) + covariance · C(z): VICReg's two.

    V holds each dimension's deviation at 1 or more, C keeps dimensions uncorrelated. Bardes et al.
    2022, Eq. 6, https://arxiv.org/abs/2105.04906.
    """

    def score(prediction, target):
        of = lambda z: (  # noqa: E731
            variance / 2 * losses.variance(z) + covariance * losses.covariance(z)
        )
        return of(prediction) + of(target.pooled)

    return Regularizer("variance, decorrelation", score)


def mean_entropy(weight: float = 1.0, *, temperature: float = 1.0) -> Regularizer:
    """weight · (ln K − H(p̄)), p̄ the mean over all predictions: prototypes are to be used alike.

    temperature: of the softmax; 1 where the head divides by its own. MSN (Assran et al. 2022,
    Eq. 1, https://arxiv.org/abs/2204.07141).
    """

    def score(prediction, target):
        return weight * losses.mean_entropy(prediction, temperature=temperature)

    return Regularizer("mean entropy", score, pooled=True)


def koleo(*, group: int | None = None) -> Regularizer:
    """−mean ln of the distance of each code to the nearest other, so that all spread evenly.

    DINOv2 (Oquab et al. 2024, https://arxiv.org/abs/2304.07193), see `losses.koleo`.
    """
    score = lambda prediction, target: losses.koleo(prediction, group=group)  # noqa: E731
    return Regularizer("KoLeo", score)
