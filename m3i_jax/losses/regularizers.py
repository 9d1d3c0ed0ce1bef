"""Losses that keep codes apart, −H(z), their statistics over the global batch.

docs/methods.md#regularisers has them all side by side.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from m3i_jax import normalize
from m3i_jax.losses.prediction import gaussian
from m3i_jax.types import Array, Scalar

__all__ = [
    "alignment",
    "covariance",
    "cross_correlation",
    "invariance",
    "koleo",
    "mean_entropy",
    "redundancy",
    "unigrad",
    "variance",
]


def cross_correlation(
    first: Float[Array, "*positions dim"],
    second: Float[Array, "*positions dim"],
    *,
    off_diagonal: float = 5e-3,
    eps: float = 1e-5,
) -> Float32[Array, ""]:
    """Barlow Twins: Σ_d (1 − C_dd)² + λ Σ_{d≠e} C_de²; (..., D), (..., D) -> scalar.

    The sum of `invariance` and λ times `redundancy`; see there. The paper's λ is 5.1e-3
    (Zbontar et al. 2021, Eq. 1, https://arxiv.org/abs/2103.03230).
    """
    correlation = _correlation(first, second, eps)
    return _off_one(correlation) + off_diagonal * _off_diagonal(correlation)


def invariance(
    first: Float[Array, "*positions dim"],
    second: Float[Array, "*positions dim"],
    *,
    eps: float = 1e-5,
) -> Float32[Array, ""]:
    """Barlow Twins' prediction term: Σ_d (1 − C_dd)²; (..., D), (..., D) -> scalar.

    C = z̄₁ᵀz̄₂ / N, where z̄ is z standardised over the N leading positions as batch norm without
    affine does (biased variance, eps inside the root). Zbontar et al. 2021, Eq. 1 and 2,
    https://arxiv.org/abs/2103.03230.
    """
    return _off_one(_correlation(first, second, eps))


def redundancy(
    first: Float[Array, "*positions dim"],
    second: Float[Array, "*positions dim"],
    *,
    eps: float = 1e-5,
) -> Float32[Array, ""]:
    """Barlow Twins' regulariser: Σ_{d≠e} C_de²; (..., D), (..., D) -> scalar.

    C as in `invariance`; a program that asks for both computes it once. Zbontar et al. 2021, Eq. 1,
    https://arxiv.org/abs/2103.03230.
    """
    return _off_diagonal(_correlation(first, second, eps))


def variance(z: Float[Array, "*positions dim"], *, eps: float = 1e-4) -> Float32[Array, ""]:
    """VICReg's hinge on the spread: mean_d max(0, 1 − √(Var_d + eps)); (..., D) -> scalar.

    Var_d is the unbiased variance over all leading positions of the global batch. Bardes et al.
    2022, Eq. 1 and 2, https://arxiv.org/abs/2105.04906.
    """
    centred = _centred(_rows(z))
    spread = jnp.sqrt(jnp.square(centred).sum(0) / _freedom(centred) + eps)
    return jax.nn.relu(1.0 - spread).mean()


def covariance(z: Float[Array, "*positions dim"]) -> Float32[Array, ""]:
    """VICReg's decorrelation: Σ_{d≠e} C_de² / D; (..., D) -> scalar.

    C is the unbiased covariance over all leading positions of the global batch. Bardes et al.
    2022, Eq. 3 and 4, https://arxiv.org/abs/2105.04906.
    """
    centred = _centred(_rows(z))
    matrix = jnp.matmul(centred.T, centred, precision="highest") / _freedom(centred)
    return _off_diagonal(matrix) / z.shape[-1]


def koleo(z: Float[Array, "*positions dim"], *, group: int | None = None) -> Float32[Array, ""]:
    """−mean_n ln(‖z̄_n − z̄_m‖ + 1e-8), z̄_m the nearest other, of unit length; (..., D) -> scalar.

    The Kozachenko–Leonenko estimate of the entropy of directions, up to a constant (Sablayrolles et
    al. 2019, https://arxiv.org/abs/1806.03198); DINOv2.

    group: neighbours are looked for among so many rows in turn, where they divide the batch, as
      DINOv2 does on each device; None: in all of it.
    """
    x = normalize.unit(_rows(z))
    size = group if group and len(x) % group == 0 else len(x)
    x = x.reshape(-1, size, x.shape[-1])
    cosines = jnp.matmul(x, x.swapaxes(1, 2), precision="highest")
    itself = jnp.eye(size, dtype=bool)[None]
    nearest = jnp.where(itself, -2.0, jax.lax.stop_gradient(cosines)).argmax(-1)
    other = jnp.take_along_axis(x, nearest[..., None], axis=1)
    # Off by 1e-8, as there: a root has no slope at 0.
    distance = jnp.sqrt(jnp.square(x - other + 1e-8).sum(-1))
    return -jnp.log(distance + 1e-8).mean()


def mean_entropy(
    logits: Float[Array, "*positions prototypes"], *, temperature: Scalar = 1.0
) -> Float32[Array, ""]:
    """ln K − H(p̄): how far from even all prototypes are used; (..., K) -> scalar (MSN).

    p̄ is the mean of softmax(a/τ) over all leading positions of the global batch. It is 0 where p̄
    is uniform and ln K where one prototype takes everything. Assran et al. 2022, Eq. 1,
    https://arxiv.org/abs/2204.07141.
    """
    shares = jax.nn.softmax(_rows(logits) / temperature, axis=-1).mean(0)
    # The divergence from the uniform: the difference of two entropies would lose the last digits.
    return (shares * jnp.log(jnp.maximum(shares * shares.shape[0], 1e-30))).sum()


def alignment(
    prediction: Float[Array, "*positions dim"], target: Float[Array, "*positions dim"]
) -> Float32[Array, ""]:
    """How much predictions lie along the targets' spread: mean_n ẑᵀCẑ / D; (..., D) x 2 -> scalar.

    C = (1/N) Σ_n z zᵀ over all N leading positions of the global batch; no gradient flows through
    it. UniGrad's negative term (Tao et al. 2022, https://arxiv.org/abs/2112.05141) as SiameseIM's
    code has it. Costs N·D² rather than the N² of the pairwise products ẑᵀz that it averages.
    """
    z, p = _rows(jax.lax.stop_gradient(target)), _rows(prediction)
    correlation = jnp.matmul(z.T, z, precision="highest") / z.shape[0]
    aligned = (jnp.matmul(p, correlation, precision="highest") * p).sum(-1)
    return aligned.mean() / p.shape[-1]


def unigrad(
    prediction: Float[Array, "*positions dim"],
    target: Float[Array, "*positions dim"],
    *,
    negative_weight: float,
) -> Float32[Array, ""]:
    """SiameseIM's loss: (mean_n ‖ẑ − z‖² + w · mean_n ẑᵀCẑ) / D; (..., D) x 2 -> scalar.

    See `alignment` for C; the released recipe has w = 0.02. The target gets no gradient. Tao et
    al. 2023, https://arxiv.org/abs/2206.01204, and its code: docs/methods.md#siamese_im.
    """
    attraction = gaussian(prediction, jax.lax.stop_gradient(target)).mean()
    return attraction + negative_weight * alignment(prediction, target)


def _rows(z: Float[Array, "*positions dim"]) -> Float32[Array, "rows dim"]:
    """(..., D) -> (N, D) float32."""
    return jnp.asarray(z, jnp.float32).reshape(-1, z.shape[-1])


def _freedom(rows: Float32[Array, "rows dim"]) -> int:
    """What an unbiased variance divides by; that of a single row is 0."""
    return max(len(rows) - 1, 1)


def _centred(z: Float32[Array, "rows dim"]) -> Float32[Array, "rows dim"]:
    """Rows without their mean."""
    z = z - jax.lax.stop_gradient(z[:1])  # a mean of large equal numbers is not quite their number
    return z - z.mean(0, keepdims=True)


def _correlation(
    first: Float[Array, "*positions dim"], second: Float[Array, "*positions dim"], eps: float
) -> Float32[Array, "dim dim"]:
    """Cross-correlation of standardised codes: (..., D), (..., D) -> (D, D)."""
    one, two = (_standardized(_rows(z), eps) for z in (first, second))
    return jnp.matmul(one.T, two, precision="highest") / one.shape[0]


def _off_one(correlation: Float32[Array, "dim dim"]) -> Float32[Array, ""]:
    """Σ_d (1 − C_dd)²."""
    return jnp.square(1.0 - jnp.diagonal(correlation)).sum()


def _off_diagonal(correlation: Float32[Array, "dim dim"]) -> Float32[Array, ""]:
    """Σ_{d≠e} C_de²."""
    same = jnp.eye(correlation.shape[0], dtype=bool)
    return jnp.where(same, 0.0, jnp.square(correlation)).sum()


def _standardized(z: Float32[Array, "rows dim"], eps: float) -> Float32[Array, "rows dim"]:
    """Zero mean, unit variance over the rows; 0 for a constant column, with finite gradient."""
    # Over a power of two, which costs no digit: squares of what is large would be infinite.
    power = jnp.maximum(normalize.magnitude(z, axis=0), 1.0)
    centred = _centred(z / power)
    variance = jnp.square(centred).mean(0, keepdims=True)
    return centred * jax.lax.rsqrt(variance + eps / jnp.square(power))
