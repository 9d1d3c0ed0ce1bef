"""CKA and HSIC: their definitions in float64, what they do not see, and that minibatches agree."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import analysis
from m3i_jax.analysis import similarity

RNG = np.random.default_rng(0)
N = 12
X = RNG.normal(size=(N, 30))
Y = X[:, :5] @ RNG.normal(size=(5, 40)) + RNG.normal(size=(N, 40))


def biased(k, l):  # noqa: E741
    """tr(KHLH)/(n − 1)², as it is written."""
    n = len(k)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(k @ h @ l @ h) / (n - 1) ** 2


def unbiased(k, l):  # noqa: E741
    """Song et al. 2012, Eq. 5, as it is written."""
    n, one = len(k), np.ones(len(k))
    k, l = k - np.diag(np.diag(k)), l - np.diag(np.diag(l))  # noqa: E741
    products = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    crossed = 2 / (n - 2) * (one @ k @ l @ one)
    return (np.trace(k @ l) + products - crossed) / (n * (n - 3))


def ratio(hsic, k, l):  # noqa: E741
    return hsic(k, l) / np.sqrt(hsic(k, k) * hsic(l, l))


def rbf(x, fraction):
    """A Gaussian kernel, pair by pair, its bandwidth from the distances themselves."""
    far = np.linalg.norm(x[:, None] - x[None], axis=-1)
    median = np.median([far[i, j] for i in range(len(x)) for j in range(i)])
    return np.exp(-(far**2) / (2 * (fraction * median) ** 2))


def turned(dim):
    return np.linalg.qr(RNG.normal(size=(dim, dim)))[0]


@pytest.mark.parametrize("mode, hsic", [(False, biased), (True, unbiased)])
@pytest.mark.parametrize("fraction", [None, 0.4, 1.0])
def test_cka_is_its_formula(mode, hsic, fraction):
    kernels = [x @ x.T if fraction is None else rbf(x, fraction) for x in (X, Y)]
    right = ratio(hsic, *kernels)
    how = dict(unbiased=mode, rbf=fraction)
    np.testing.assert_allclose(similarity.cka(X, Y, **how), right, rtol=1e-11)
    single = [jnp.asarray(x, jnp.float32) for x in (X, Y)]
    compiled = jax.jit(lambda x, y: similarity.cka(x, y, **how))(*single)
    # float32 rounds sums of n² products of either sign, so the error is of the norms, which are 1.
    assert compiled.dtype == jnp.float32 and abs(compiled - right) < 2e-6


def test_linear_cka_is_what_the_products_of_features_say():
    """Kornblith et al. 2019, Table 1: the same by (d1, d2) products, without any Gram matrix."""
    x, y = X - X.mean(0), Y - Y.mean(0)
    norms = [np.linalg.norm(z.T @ z) for z in (x, y)]
    right = np.linalg.norm(y.T @ x) ** 2 / np.prod(norms)
    np.testing.assert_allclose(analysis.cka(X, Y), right, rtol=1e-12)


@pytest.mark.parametrize("how", [{}, {"unbiased": True}, {"unbiased": True, "rbf": 0.5}])
def test_turning_scaling_and_moving_change_nothing_and_other_maps_do(how):
    assert abs(similarity.cka(X, X, **how) - 1) < 1e-12
    assert abs(similarity.cka(X, 3 * X @ turned(30) - 7, **how) - 1) < 1e-10
    plain = similarity.cka(X, Y, **how)
    moved = similarity.cka(X @ turned(30) / 5, Y @ turned(40) + RNG.normal(size=40), **how)
    assert abs(moved - plain) < 1e-10
    stretched = X @ np.diag(np.logspace(-1, 1, 30))
    assert similarity.cka(X, stretched, **how) < 0.95


def test_a_mean_that_all_share_costs_no_digits():
    """In float32 the Gram matrix of features at 1000 has ulps of 2, and differences of about 30."""
    x, y = (np.float32(z + 1000) for z in (X, Y))
    exact = [np.float64(z) for z in (x, y)]
    for mode in (False, True):
        right = similarity.cka(*exact, unbiased=mode)
        assert abs(similarity.cka(x, y, unbiased=mode) - right) < 2e-6
        assert abs(similarity.cka(*map(jnp.asarray, (x, y)), unbiased=mode) - right) < 2e-6


def test_features_of_more_axes_are_flattened_and_constants_have_none():
    np.testing.assert_array_equal(
        similarity.cka(X.reshape(N, 5, 6), Y.reshape(N, 2, 4, 5)), similarity.cka(X, Y)
    )
    for constant in (np.full((N, 3), 0.1), jnp.full((N, 3), 0.1)):
        assert np.isnan(similarity.cka(constant, constant))


def test_all_pairs_of_layers_at_once():
    k, l = RNG.normal(size=(2, 3, N, N))  # noqa: E741
    k, l = k + k.swapaxes(1, 2), (l + l.swapaxes(1, 2))[:2]  # noqa: E741
    for mode, hsic in ((False, biased), (True, unbiased)):
        table = similarity.hsic(k, l, unbiased=mode)
        right = [[hsic(a, b) for b in l] for a in k]
        np.testing.assert_allclose(table, right, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(similarity.hsic(k[0], l, unbiased=mode), right[0], atol=1e-12)


def test_centring_leaves_nothing_of_rows_and_columns():
    a = RNG.normal(size=N)
    k = a[:, None] + a[None, :]
    np.testing.assert_allclose(similarity.centred(k), 0, atol=1e-13)
    np.testing.assert_allclose(similarity.u_centred(k), 0, atol=1e-13)
    rest = similarity.u_centred(X @ X.T)
    np.testing.assert_allclose(rest.sum(1), 0, atol=1e-12)


def test_distances_and_their_median():
    k = similarity.gram(X)
    far = np.linalg.norm(X[:, None] - X[None], axis=-1)
    np.testing.assert_allclose(similarity.squared_distances(k), far**2, atol=1e-12)
    right = np.median(far[np.triu_indices(N, 1)])
    np.testing.assert_allclose(similarity.median_distance(np.stack([k, 4 * k])), [right, 2 * right])


def stacks(parts):
    """Gram matrices of both for each part of the images."""
    return [np.stack([similarity.gram(z[part]) for z in (X, Y)]) for part in parts]


def test_one_batch_of_everything_is_the_whole():
    for mode in (False, True):
        table = similarity.minibatch_cka(stacks([np.arange(N)]), unbiased=mode)
        right = similarity.cka(X, Y, unbiased=mode)
        np.testing.assert_allclose(table, [[1, right], [right, 1]], rtol=1e-12)


def test_batches_are_averaged_before_the_ratio():
    parts = np.split(RNG.permutation(N), [4, 8])
    k, l = ([z[p] @ z[p].T for p in parts] for z in (X, Y))  # noqa: E741
    sums = [sum(map(unbiased, a, b)) for a, b in ((k, l), (k, k), (l, l))]
    table = similarity.minibatch_cka(stacks(parts))
    np.testing.assert_allclose(table[0, 1], sums[0] / np.sqrt(sums[1] * sums[2]), rtol=1e-10)
    uneven = [np.arange(4), np.arange(4, N)]  # as many images, as much weight
    k, l = ([z[p] @ z[p].T for p in uneven] for z in (X, Y))  # noqa: E741
    sums = [
        4 * unbiased(a[0], b[0]) + 8 * unbiased(a[1], b[1]) for a, b in ((k, l), (k, k), (l, l))
    ]
    table = similarity.minibatch_cka(stacks(uneven))
    np.testing.assert_allclose(table[0, 1], sums[0] / np.sqrt(sums[1] * sums[2]), rtol=1e-10)


def test_the_mean_over_all_batches_is_exactly_that_of_all_images():
    """HSIC₁ is a U-statistic: its mean over all subsets of a size is the value of the whole set.

    Of the biased one that is not so; this is why a ratio of its minibatches depends on their size.
    """
    k, l = X[:8] @ X[:8].T, Y[:8] @ Y[:8].T  # noqa: E741
    subsets = [np.ix_(s, s) for s in itertools.combinations(range(8), 5)]
    for mode, limit in ((True, 1e-10), (False, None)):
        mean = np.mean([similarity.hsic(k[s], l[s], unbiased=mode) for s in subsets])
        off = abs(mean / similarity.hsic(k, l, unbiased=mode) - 1)
        assert off < limit if mode else off > 0.1


def test_minibatch_cka_of_many_images_is_that_of_all():
    """2000 images in 250 random batches of 8, against the whole in one.

    By the delta method the ratio ρ = a/√(bc) of means over m batches is off by the mean of
    uᵢ = aᵢ/√(bc) − ρ/2·(bᵢ/b + cᵢ/c), whose standard error is s(u)/√m; by more than five of them
    once in 10⁶ draws.
    """
    z = RNG.normal(size=(2000, 6))
    x, y = z @ RNG.normal(size=(6, 9)), z[:, :4] @ RNG.normal(size=(4, 7))
    y = y + RNG.normal(size=y.shape)
    parts = np.split(RNG.permutation(2000), 250)
    grams = [np.stack([similarity.gram(v[p]) for v in (x, y)]) for p in parts]
    tables = np.stack([similarity.hsic(g, g, unbiased=True) for g in grams])
    (b, a), (_, c) = tables.mean(0)
    parted = tables[:, 0, 1] / np.sqrt(b * c)
    parted = parted - a / np.sqrt(b * c) / 2 * (tables[:, 0, 0] / b + tables[:, 1, 1] / c)
    bound = 5 * parted.std() / np.sqrt(len(parts))
    whole = similarity.cka(x, y, unbiased=True)
    assert abs(similarity.minibatch_cka(grams)[0, 1] - whole) < bound < 0.1
    # The biased estimate of the same batches is further off than chance could put it.
    assert similarity.minibatch_cka(grams, unbiased=False)[0, 1] - whole > bound


def test_what_has_nothing_in_common_has_no_similarity():
    x, y = RNG.normal(size=(2, 20, 500))
    assert similarity.cka(x, y) > 0.9 and abs(similarity.cka(x, y, unbiased=True)) < 0.2


def test_too_few_images_and_other_images_are_refused():
    with pytest.raises(ValueError, match="HSIC of 3 and 3 images, expected the same 4 or more"):
        similarity.cka(X[:3], Y[:3], unbiased=True)
    with pytest.raises(ValueError, match="expected the same 2 or more"):
        similarity.cka(X[:1], Y[:1])
    with pytest.raises(ValueError, match="features of 12 and of 5 images"):
        similarity.cka(X, Y[:5])
    with pytest.raises(ValueError, match="no batch"):
        similarity.minibatch_cka([])
