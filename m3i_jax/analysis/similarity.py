"""How alike two representations of the same images are: CKA, and the HSIC that it is made of.

    CKA(K, L) = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)),   K = xxᵀ, L = yyᵀ or other kernels

Kornblith et al. 2019, Eq. 3 and 4, https://arxiv.org/abs/1905.00414; the unbiased HSIC₁ is Song et
al. 2012, Eq. 5, https://www.jmlr.org/papers/v13/song12a.html, and its minibatches Nguyen et al.
2021, Eq. 2 to 4, https://arxiv.org/abs/2010.15327.

NumPy arrays are computed with in their own precision, on the host; JAX arrays in theirs, under
`jit`, too. docs/analysis.md#similarity has the conventions, and where others differ.
"""

from collections.abc import Iterable
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from m3i_jax.types import Array

LEAST = 4  # images of which HSIC₁ can be told: it divides by n(n − 3)


def cka(
    x: Float[Array, "batch _dim"],
    y: Float[Array, "batch _other"],
    *,
    unbiased: bool = False,
    rbf: float | None = None,
) -> Float[Array, ""]:
    """CKA of two sets of features of the same n images: (n, d1), (n, d2) -> scalar.

        linear and biased:   ‖ycᵀ xc‖² / (‖xcᵀ xc‖ · ‖ycᵀ yc‖),   xc, yc less their means

    1 where y is x turned and scaled; other linear maps change it. The biased one is near 1 for any
    two sets of more dimensions than images; the unbiased one is 0 on average where they have
    nothing in common, and may be negative. NaN where features are constant.

    Args:
      x, y: features, one row per image; more axes are flattened.
      unbiased: HSIC₁ instead of HSIC, the debiased CKA.
      rbf: a Gaussian kernel, whose bandwidth is this share of the median distance
        (Kornblith et al. 2019, §3); None = linear.

    Raises:
      ValueError: x and y are not of the same images, or are too few.
    """
    if x.shape[0] != y.shape[0]:
        raise ValueError(f"features of {x.shape[0]} and of {y.shape[0]} images have no CKA")
    k, l = gram(x), gram(y)  # noqa: E741
    if rbf is not None:
        k, l = (gaussian(g, rbf * median_distance(g)) for g in (k, l))  # noqa: E741
    kl, kk, ll = (hsic(*pair, unbiased=unbiased) for pair in ((k, l), (k, k), (l, l)))
    with np.errstate(invalid="ignore"):
        return kl / (_numpy(k).sqrt(kk) * _numpy(k).sqrt(ll))


def gram(x: Float[Array, "batch ..."]) -> Float[Array, "batch batch"]:
    """Linear Gram matrix of features less their mean: (n, ...) -> (n, n).

    No HSIC here changes by a translation; in float32 a mean that all features share would take the
    digits of what they differ in.
    """
    x = x.reshape(x.shape[0], -1)
    x = x - x[:1]  # so that a constant is exactly 0
    x = x - x.mean(0, keepdims=True)
    return _products(x, x)


def squared_distances(gram: Float[Array, "*stack batch batch"]) -> Float[Array, "*stack n n"]:
    """‖xᵢ − xⱼ‖² = Kᵢᵢ + Kⱼⱼ − 2Kᵢⱼ of a linear Gram matrix K: (..., n, n) -> (..., n, n)."""
    own = gram.diagonal(0, -2, -1)
    return (own[..., :, None] + own[..., None, :] - 2 * gram).clip(0)


def median_distance(gram: Float[Array, "*stack batch batch"]) -> Float[Array, "*stack"]:
    """Median of ‖xᵢ − xⱼ‖ over the pairs i < j, of a linear Gram matrix: (..., n, n) -> (...)."""
    rows, columns = np.triu_indices(gram.shape[-1], 1)
    np_ = _numpy(gram)
    # Of the roots: the median of an even number of pairs is a mean of two.
    return np_.median(np_.sqrt(squared_distances(gram)[..., rows, columns]), axis=-1)


def gaussian(
    gram: Float[Array, "*stack batch batch"], bandwidth: float | Float[Array, "*stack"]
) -> Float[Array, "*stack batch batch"]:
    """exp(−‖xᵢ − xⱼ‖²/(2σ²)) of a linear Gram matrix: (..., n, n), σ (...) -> (..., n, n)."""
    np_ = _numpy(gram)
    sigma = np_.asarray(bandwidth, gram.dtype)[..., None, None]
    return np_.exp(-squared_distances(gram) / (2 * sigma**2))


def hsic(
    k: Float[Array, "*rows batch batch"],
    l: Float[Array, "*columns batch batch"],  # noqa: E741
    *,
    unbiased: bool = False,
) -> Float[Array, "*rows_columns"]:
    """HSIC of every kernel matrix of one stack with every one of another: (*a, n, n), (*b, n, n) ->
    (*a, *b).

        biased:     tr(KHLH)/(n − 1)²,   H = I − 11ᵀ/n
        unbiased:   [ tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2·1ᵀK̃L̃1/(n−2) ] / (n(n−3)),   K̃ᵢᵢ = L̃ᵢᵢ = 0

    Raises:
      ValueError: fewer than 2 images, 4 for the unbiased one.
    """
    n, least = k.shape[-1], LEAST if unbiased else 2
    if n < least or l.shape[-1] != n:
        raise ValueError(f"HSIC of {n} and {l.shape[-1]} images, expected the same {least} or more")
    centre, pairs = (u_centred, n * (n - 3)) if unbiased else (centred, (n - 1) ** 2)
    flat = [centre(stack).reshape(-1, n * n) for stack in (k, l)]
    return (_products(*flat) / pairs).reshape(k.shape[:-2] + l.shape[:-2])


def centred(k: Float[Array, "*stack batch batch"]) -> Float[Array, "*stack batch batch"]:
    """HKH of a symmetric matrix: rows and columns have mean 0."""
    rows = k.mean(-1, keepdims=True)
    return k - rows - rows.swapaxes(-1, -2) + rows.mean(-2, keepdims=True)


def u_centred(k: Float[Array, "*stack batch batch"]) -> Float[Array, "*stack batch batch"]:
    """Off the diagonal, what is left of a symmetric matrix less any aᵢ + aⱼ; on it, 0.

    The inner product of two such matrices is n(n − 3)·HSIC₁ (Székely & Rizzo 2014, Definition 2
    and Proposition 1, https://arxiv.org/abs/1310.2926): one matrix is centred once for all pairs.
    """
    n = k.shape[-1]
    off = (1 - np.eye(n)).astype(k.dtype)
    k = k * off
    rows = k.sum(-1, keepdims=True)
    total = rows.sum(-2, keepdims=True) / ((n - 1) * (n - 2))
    return (k - (rows + rows.swapaxes(-1, -2)) / (n - 2) + total) * off


def minibatch_cka(
    stacks: Iterable[Float[Array, "layers _batch _batch"]], *, unbiased: bool = True
) -> Float[np.ndarray, "layers layers"]:
    """CKA of all pairs of layers from the kernel matrices of batches: (layers, n, n) each.

        CKA_ab = mean HSIC(K_a, K_b) / √(mean HSIC(K_a, K_a) · mean HSIC(K_b, K_b))

    The means over batches, weighted by their images, are taken before the ratio. Those of HSIC₁
    are unbiased for any size of batch; those of the biased one are as far off as its batches are
    small. Layers of several models may be stacked. Sums are in float64.

    Raises:
      ValueError: there is no batch, or one has too few images.
    """
    total, images = None, 0
    for stack in stacks:
        stack = np.asarray(stack, np.float64)
        n = stack.shape[-1]
        part = n * hsic(stack, stack, unbiased=unbiased)
        total, images = part if total is None else total + part, images + n
    if total is None:
        raise ValueError("CKA of no batch")
    own = np.sqrt(np.diagonal(total))
    with np.errstate(invalid="ignore"):  # 0/0 of a layer that is constant
        return total / (own[:, None] * own[None, :])


def _products(x: Float[Array, "rows dim"], y: Float[Array, "columns dim"]) -> Array:
    """xyᵀ; accelerators would by themselves round factors to bfloat16."""
    return x @ y.T if _numpy(x) is np else jnp.matmul(x, y.T, precision="highest")


def _numpy(x: Array) -> ModuleType:
    """The NumPy that an array is of."""
    return jnp if isinstance(x, jax.Array) else np
