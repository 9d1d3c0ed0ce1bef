"""The exact optimum of a linear probe: multinomial logistic regression in float64."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.scipy.linalg import solve_triangular

from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probe import CHUNK, Classifier, Probe, class_count, score, statistics
from m3i_jax.evaluation.progress import ticker
from m3i_jax.types import Array

STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # l2 that `lbfgs` chooses from
WIDEST = 4096  # features of which the correlations are worth a matrix


def lbfgs(
    train: FeatureSet,
    test: FeatureSet,
    *,
    l2: float | None = None,
    classes: int | None = None,
    tolerance: float = 1e-6,
    iterations: int = 2000,
    seed: int = 0,
) -> Probe:
    """Multinomial logistic regression, solved to its unique optimum in float64.

        min_{W,b}  −(1/n) Σ_i log softmax(W'x_i + b)[y_i] + (l2/2)‖W‖²

    Nothing is left to tune or to chance, so probes of different encoders compare. The penalty is
    that of scikit-learn at C = 1/(n·l2).

    Args:
      train, test: features and labels; every row needs a label.
      l2: strength; None chooses it from `STRENGTHS` by the accuracy on a held-out fifth of the
        *training* set (of equals the strongest) and then fits the whole of it.
      classes: how many there are; the largest label decides when None.
      tolerance: of the largest component of the gradient.
      iterations: at most; `Probe.converged` tells whether they were enough.
      seed: of the choice of the fifth.
    """
    classes = class_count(train, test, classes)
    if l2 is None:
        l2 = _choose(train, classes, tolerance=max(tolerance, 1e-4), limit=iterations, seed=seed)
    elif not 0 < l2 < np.inf:
        raise ValueError(f"l2 is {l2}, expected a positive number (the optimum may else not exist)")
    (fit,) = _fit(train, classes, (l2,), tolerance=tolerance, limit=iterations)
    top1, top5 = score(fit.classifier, test)
    return Probe(top1, top5, fit.classifier, float(l2), fit.iterations, fit.converged)


class _Fit(NamedTuple):
    """An optimum, and how it was reached."""

    classifier: Classifier
    iterations: int
    converged: bool


def _choose(train: FeatureSet, classes: int, *, tolerance: float, limit: int, seed: int) -> float:
    """The strength of `STRENGTHS` that does best on a fifth that it has not been fitted to."""
    n = len(train.labels)
    order = np.random.default_rng(seed).permutation(n)
    cut = max(1, n // 5)
    features, labels = np.asarray(train.features), np.asarray(train.labels)
    held, rest = (FeatureSet(features[i], labels[i]) for i in (order[:cut], order[cut:]))
    fits = _fit(rest, classes, STRENGTHS, tolerance=tolerance, limit=limit)
    scores = [score(fit.classifier, held)[0] for fit in fits]
    return STRENGTHS[int(np.argmax(scores))]


def _fit(
    train: FeatureSet, classes: int, strengths: tuple[float, ...], *, tolerance: float, limit: int
) -> list[_Fit]:
    """Optima for each strength, each search starting from the optimum before it."""
    mean, scale = statistics(train.features)
    n, width = train.features.shape
    chunk = min(CHUNK, n)
    fill = -n % chunk
    weight = np.pad(np.full(n, 1.0 / n), (0, fill)).reshape(-1, chunk)
    x = np.pad((np.asarray(train.features, np.float64) - mean) * scale, ((0, fill), (0, 0)))
    y = np.pad(np.asarray(train.labels), (0, fill)).reshape(-1, chunk)
    fits, theta = [], np.zeros((width + 1, classes))
    tick = ticker("strength of the penalty", total=len(strengths))
    with jax.enable_x64(True), jax.default_device(_device()):
        data = tuple(jnp.asarray(a) for a in (x.reshape(-1, chunk, width), y, weight))
        gram = _gram(data[0], data[2]) if width <= WIDEST else None
        for number, l2 in enumerate(strengths):
            tell = functools.partial(tick, number)
            theta, count, steepest = _search(theta, data, gram, l2, tolerance, limit, tell)
            classifier = Classifier(mean, scale, theta[:-1], theta[-1])
            fits.append(_Fit(classifier, count, steepest <= tolerance))
    return fits


def _search(
    theta: np.ndarray,
    data: tuple,
    gram: Array | None,
    l2: float,
    tolerance: float,
    limit: int,
    tell: Callable[[str], None],
) -> tuple[np.ndarray, int, float]:
    """(optimum, iterations, largest component of the gradient there), by L-BFGS from `theta`.

    The search is in coordinates V = L'W, LL' = ½X'X/n + l2·I: a bound of the curvature (Böhning
    1992), so that correlated features do not make it long.
    """
    root = None if gram is None else jnp.linalg.cholesky(0.5 * gram + l2 * jnp.eye(len(gram)))
    last: dict[str, float] = {}

    def objective(v):
        value, grad, last["steepest"] = _warped(v.reshape(theta.shape), root, *data, l2)
        return float(value), np.asarray(grad).ravel()

    def callback(intermediate_result):
        count = last["count"] = last.get("count", 0) + 1
        tell(f"l2 {l2:g}, iteration {count}, gradient {float(last['steepest']):.1e}")
        if last["steepest"] <= tolerance:
            raise StopIteration

    start = np.array(theta)
    if root is not None:
        start[:-1] = np.asarray(root).T @ theta[:-1]
        start[-1] /= np.sqrt(2.0)
    # Only the gradient with respect to W decides, so the search has no tolerance of its own.
    options = {"gtol": 0.0, "ftol": 0.0, "maxcor": 20, "maxiter": limit, "maxfun": 2 * limit + 20}
    found = scipy.optimize.minimize(
        objective, start.ravel(), method="L-BFGS-B", jac=True, options=options, callback=callback
    )
    v = found.x.reshape(theta.shape)
    steepest = float(_warped(v, root, *data, l2)[2])
    return np.asarray(_unwarped(jnp.asarray(v), root)), int(found.nit), steepest


@jax.jit
def _gram(x: Array, weight: Array) -> Array:
    """Σ w·xx' over rows in chunks: x (m, chunk, D), weight (m, chunk) -> (D, D)."""

    def add(total, rows):
        x, weight = rows
        return total + (x * weight[:, None]).T @ x, None

    return jax.lax.scan(add, jnp.zeros((x.shape[-1],) * 2, x.dtype), (x, weight))[0]


def _unwarped(v: Array, root: Array | None) -> Array:
    """W and bias, (D + 1, C), of their coordinates in the search."""
    if root is None:
        return v
    kernel = solve_triangular(root, v[:-1], lower=True, trans=1)
    return jnp.concatenate([kernel, jnp.sqrt(2.0) * v[-1:]])


@jax.jit
def _warped(v: Array, root: Array | None, x: Array, y: Array, weight: Array, l2: Array) -> tuple:
    """The loss, its gradient in the search's coordinates, and the largest component of W's own."""
    value, grad = _loss_and_grad(_unwarped(v, root), x, y, weight, l2)
    steepest = jnp.abs(grad).max()
    if root is None:
        return value, grad, steepest
    kernel = solve_triangular(root, grad[:-1], lower=True)
    return value, jnp.concatenate([kernel, jnp.sqrt(2.0) * grad[-1:]]), steepest


@jax.jit
def _loss_and_grad(theta: Array, x: Array, y: Array, weight: Array, l2: Array) -> tuple:
    """Σ w·CE + (l2/2)‖W‖² and its gradient in one pass; x (m, chunk, D), theta (D + 1, C)."""
    kernel, bias = theta[:-1], theta[-1]

    def add(sums, rows):
        loss, grad, grad_bias = sums
        x, y, weight = rows
        log_p = jax.nn.log_softmax(x @ kernel + bias[None])
        picked = jax.nn.one_hot(y, bias.shape[0], dtype=theta.dtype)
        residual = (jnp.exp(log_p) - picked) * weight[:, None]
        loss -= ((log_p * picked).sum(1) * weight).sum()
        return (loss, grad + x.T @ residual, grad_bias + residual.sum(0)), None

    zero = jnp.zeros((), theta.dtype), jnp.zeros_like(kernel), jnp.zeros_like(bias)
    (loss, grad, grad_bias), _ = jax.lax.scan(add, zero, (x, y, weight))
    loss += 0.5 * l2 * jnp.square(kernel).sum()
    return loss, jnp.concatenate([grad + l2 * kernel, grad_bias[None]])


def _device() -> jax.Device:
    """Where float64 is fast: the default device, unless that is a TPU, which only emulates it."""
    device = jax.local_devices()[0]
    if device.platform != "tpu":
        return device
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # this process was started without the CPU's backend
        return device
