"""The exact optimum of a linear probe: multinomial logistic regression.

Searched in float32, where most of the way lies, and finished in float64.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes import quasi_newton
from m3i_jax.evaluation.probes.probe import Classifier, Probe, class_count, score, statistics
from m3i_jax.evaluation.progress import ticker
from m3i_jax.types import Array

STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # l2 that `lbfgs` chooses from
WIDEST = 4096  # features of which the correlations are worth a matrix
SINGLE = 1e-6  # gradient that float32 resolves
SMALL = 10**8  # rows · features · classes up to which float32 saves less than it takes to compile
CHUNK = 1024  # rows at once: what a core's cache holds; 16 times as many on an accelerator
BLOCK = 10  # iterations between two looks at the clock


def lbfgs(
    train: FeatureSet,
    test: FeatureSet,
    *,
    l2: float | None = None,
    classes: int | None = None,
    tolerance: float = 1e-6,
    iterations: int = 2000,
    seed: int = 0,
    quiet: bool = False,
) -> Probe:
    """Multinomial logistic regression, solved to its unique optimum.

        min_{W,b}  −(1/n) Σ_i log softmax(W'x_i + b)[y_i] + (l2/2)‖W‖²

    Nothing is left to tune or to chance, so probes of different encoders compare. The penalty is
    that of scikit-learn at C = 1/(n·l2).

    Args:
      train, test: features and labels; every row needs a label.
      l2: strength; None chooses it from `STRENGTHS` by the accuracy on a held-out fifth of the
        *training* set (of equals the strongest) and then fits the whole of it.
      classes: how many there are; the largest label decides when None.
      tolerance: of the largest component of the gradient, which is computed in float64.
      iterations: at most; `Probe.converged` tells whether they were enough.
      seed: of the choice of the fifth.
      quiet: says nothing of how far it is.
    """
    classes = class_count(train, test, classes)
    if l2 is not None and not 0 < l2 < np.inf:
        raise ValueError(f"l2 is {l2}, expected a positive number (the optimum may else not exist)")
    features, labels = np.asarray(train.features), np.asarray(train.labels)
    start = known = None
    if l2 is None:
        order = np.random.default_rng(seed).permutation(len(labels))
        cut = max(1, len(labels) // 5)
        features, labels = features[order], labels[order]
        held = FeatureSet(features[:cut], labels[:cut])
        rest = FeatureSet(features[cut:], labels[cut:])
        loose = max(tolerance, 1e-4)
        search = dict(tolerance=loose, limit=iterations, rows=len(labels), quiet=quiet)
        fits = path(rest, classes, STRENGTHS, **search)
        best = int(np.argmax([score(fit.classifier, held)[0] for fit in fits]))
        l2, start, known = STRENGTHS[best], fits[best].classifier, fits[best].directions
    search = dict(tolerance=tolerance, limit=iterations, rows=len(labels), quiet=quiet)
    search |= dict(exact=True, known=known)
    (fit,) = path(FeatureSet(features, labels), classes, (l2,), start=start, **search)
    top1, top5 = score(fit.classifier, test)
    return Probe(top1, top5, fit.classifier, float(l2), fit.iterations, fit.converged)


class Directions(NamedTuple):
    """Q and Λ of X'X/n = QΛQ', (D, rank) and (rank,); no Q where it would take too long."""

    basis: np.ndarray | None
    eigenvalues: np.ndarray

    @property
    def whole(self) -> bool:
        """Whether every W has coordinates in Q, so that it serves for other rows, too."""
        return self.basis is not None and self.basis.shape[0] == self.basis.shape[1]


class Fit(NamedTuple):
    """An optimum, how it was reached, and along which directions it was searched."""

    classifier: Classifier
    iterations: int
    converged: bool
    directions: Directions


class Problem(NamedTuple):
    """What is minimised: rows in chunks, of which the first `chunks` count.

    x: standardised features.  y: labels.  weight: of the rows; what fills a chunk has none.
    basis, spread: W = basis·(spread·V), V being what is searched; None = W itself is.
    offset: the bias over what is searched; 0 = there is no bias.
    """

    x: Float[Array, "chunks_all chunk width"]
    y: Int[Array, "chunks_all chunk"]
    weight: Float[Array, "chunks_all chunk"]
    chunks: Int[Array, ""]
    basis: Float[Array, "width rank"] | None
    spread: Float[Array, " rank"]
    l2: Float[Array, ""]
    offset: Float[Array, ""]


def path(
    train: FeatureSet,
    classes: int,
    strengths: tuple[float, ...],
    *,
    tolerance: float,
    limit: int,
    rows: int,
    exact: bool = False,
    start: Classifier | None = None,
    known: Directions | None = None,
    plain: bool = False,
    quiet: bool = False,
) -> list[Fit]:
    """Optima for each strength, each search starting from the optimum before it.

    The search is in coordinates V of W = Q(½Λ + l2·I)^−½V with X'X/n = QΛQ': Böhning's bound of
    the curvature (1992) is there 1 in all directions, so that correlated features do not make it
    long; one decomposition serves all strengths.

    Args:
      rows: for which it is compiled, at least those of `train`.
      exact: whether float64 has the last word.
      start: of the first search, a classifier on other rows of the same features.
      known: directions of other rows, which nearly are those of these.
      plain: features as they are, not standardised, and no bias.
      quiet: says nothing of how far it is.
    """
    width = train.features.shape[1]
    what, total = "strength of the penalty", len(strengths)
    tick = (lambda *_: None) if quiet else ticker(what, total=total)
    tick(0, f"correlations of {width} features")
    mean, scale = (np.zeros(width), np.ones(width)) if plain else statistics(train.features)
    problem, directions = _problem(train, mean, scale, rows, known)
    theta = np.zeros((width + 1, classes))
    problem = problem._replace(offset=np.float64(0.0 if plain else np.sqrt(2.0)))
    if start is not None:  # the same function of features that are standardised otherwise
        theta[:-1] = start.kernel * (start.scale / scale)[:, None]
        theta[-1] = start.bias + ((mean - start.mean) * start.scale) @ start.kernel
    fits: list[Fit] = []
    with jax.enable_x64(True):
        for number, l2 in enumerate(strengths):
            spread = 1 / np.sqrt(0.5 * directions.eigenvalues + l2)
            one = problem._replace(spread=spread, l2=np.float64(l2))
            tell = functools.partial(tick, number)
            theta, count, steepest = _searched(theta, one, tolerance, limit, exact, tell)
            optimum = Classifier(mean, scale, theta[:-1], theta[-1])
            fits.append(Fit(optimum, count, steepest <= tolerance, directions))
    return fits


def _problem(
    train: FeatureSet, mean: np.ndarray, scale: np.ndarray, rows: int, known: Directions | None
) -> tuple[Problem, Directions]:
    """The rows in chunks, without a penalty yet, and the directions of the search."""
    n, width = train.features.shape
    chunk = CHUNK if jax.default_backend() == "cpu" else 16 * CHUNK
    chunk = -(-rows // -(-rows // chunk))
    shape = -(-rows // chunk), chunk
    x, y = np.zeros((*shape, width), np.float32), np.zeros(shape, np.int32)
    weight = np.zeros(shape, np.float32)
    y.ravel()[:n], weight.ravel()[:n] = train.labels, 1 / n
    flat = x.reshape(-1, width)
    for i in range(0, n, chunk):
        flat[i : i + chunk][: n - i] = (train.features[i : i + chunk] - mean) * scale
    # A decomposition takes the cube of the width, and the optimum does not depend on it. Fewer rows
    # than features span less than all of them: docs/benchmarks.md has what a second one saves.
    own = known is None or not known.whole
    directions = _directions(jnp.asarray(x), flat[:n]) if own else known
    chunks = np.int32(-(-n // chunk))
    none = np.float64(0.0)
    return Problem(x, y, weight, chunks, *directions, none, none), directions


def _directions(x: Array, rows: np.ndarray) -> Directions:
    """Q and Λ of X'X/n = QΛQ', without the directions that have no row; (None, 1) if too many.

    x: the rows in chunks, what fills them being 0.
    """
    n, width = rows.shape
    if min(n, width) * width > WIDEST**2:
        return Directions(None, np.ones(1))
    if width <= n:
        values, basis = np.linalg.eigh(np.asarray(_gram(x)) / n)
        return Directions(basis, np.maximum(values, 0.0))
    rows = rows.astype(np.float64)
    values, vectors = np.linalg.eigh(rows @ rows.T / n)
    some = values > 1e-12 * values[-1]  # float64 does not tell the others from 0
    values, vectors = values[some], vectors[:, some]
    return Directions(rows.T @ (vectors / np.sqrt(n * values)), values)


@jax.jit
def _gram(x: Float[Array, "chunks chunk width"]) -> Float[Array, "width width"]:
    """Σ xx' over rows in chunks."""
    zero = jnp.zeros((x.shape[-1],) * 2, x.dtype)
    add = lambda total, x: (total + jnp.matmul(x.T, x, precision="highest"), None)  # noqa: E731
    return jax.lax.scan(add, zero, x)[0]


def _searched(theta, problem: Problem, tolerance: float, limit: int, exact: bool, tell):
    """(optimum, iterations, largest component of the gradient there) of a search from `theta`."""
    v = np.array(theta)
    if problem.basis is not None:
        v = np.concatenate([problem.basis.T @ theta[:-1], theta[-1:]])
    v[:-1] /= np.broadcast_to(problem.spread, len(v) - 1)[:, None]
    v[-1] = v[-1] / problem.offset if problem.offset else 0.0
    small = problem.y.size * theta.size <= SMALL
    single = (jnp.float32, None, max(tolerance, SINGLE) if exact else tolerance)
    double = (jnp.float64, _device(), tolerance)
    stages = ([] if small else [single]) + ([double] if small or exact else [])
    search, point = None, v
    for dtype, device, enough in stages:
        with jax.default_device(device):
            data = _placed(problem, dtype)
            search = quasi_newton.begin(point, dtype, old=search)
            limits = dict(tolerance=np.dtype(dtype).type(enough))
            while True:
                until = np.int32(min(limit, int(search.count) + BLOCK))
                search = quasi_newton.advance(_objective, search, data, **limits, limit=until)
                count, size = int(search.count), float(search.size)
                tell(f"l2 {float(problem.l2):g}, iteration {count}, gradient {size:.1e}")
                if size <= enough or count >= limit or search.stuck:
                    break
            search = jax.device_get(search)
            point = search.point
    kernel = problem.spread[:, None] * point[:-1]
    kernel = kernel if problem.basis is None else problem.basis @ kernel
    return np.concatenate([kernel, problem.offset * point[-1:]]), count, size


def _placed(problem: Problem, dtype: Any) -> Problem:
    """On the device; what is not per row in a precision."""
    cast = lambda x: None if x is None else jnp.asarray(np.asarray(x, dtype))  # noqa: E731
    rows = (jnp.asarray(a) for a in problem[:4])
    return Problem(*rows, *(cast(a) for a in problem[4:]))


def _unwarped(v: Array, data: Problem) -> Array:
    """W and bias, (D + 1, C), of their coordinates in the search."""
    kernel = data.spread[:, None] * v[:-1]
    if data.basis is not None:
        kernel = jnp.matmul(data.basis, kernel, precision="highest")
    return jnp.concatenate([kernel, data.offset * v[-1:]])


def _objective(v: Array, data: Problem) -> tuple[Array, Array, Array]:
    """The loss, its gradient in the search's coordinates, and the largest component of W's own."""
    value, grad = _loss_and_grad(_unwarped(v, data), data)
    grad = grad.at[-1].multiply(jnp.where(data.offset > 0, 1, 0).astype(v.dtype))
    kernel = grad[:-1]
    if data.basis is not None:
        kernel = jnp.matmul(data.basis.T, kernel, precision="highest")
    warped = [data.spread[:, None] * kernel, data.offset * grad[-1:]]
    return value, jnp.concatenate(warped), jnp.abs(grad).max()


def _loss_and_grad(theta: Array, data: Problem) -> tuple[Array, Array]:
    """Σ w·CE + (l2/2)‖W‖² and its gradient, (D + 1, C), in one pass and theta's precision."""
    kernel, bias = theta[:-1], theta[-1]
    product = functools.partial(jnp.matmul, precision="highest")

    def add(i, sums):
        loss, grad, grad_bias = sums
        x, y, weight = (a[i] for a in data[:3])
        x, weight = x.astype(theta.dtype), weight.astype(theta.dtype)
        log_p = jax.nn.log_softmax(product(x, kernel) + bias[None])
        is_y = y[:, None] == jnp.arange(len(bias))[None]
        residual = (jnp.exp(log_p) - is_y) * weight[:, None]
        loss -= (jnp.where(is_y, log_p, 0).sum(1) * weight).sum()
        return loss, grad + product(residual.T, x), grad_bias + residual.sum(0)

    zero = jnp.zeros((), theta.dtype), jnp.zeros_like(kernel.T), jnp.zeros_like(bias)
    loss, grad, grad_bias = jax.lax.fori_loop(0, data.chunks, add, zero)
    loss += 0.5 * data.l2 * jnp.square(kernel).sum()
    return loss, jnp.concatenate([grad.T + data.l2 * kernel, grad_bias[None]])


def _device() -> jax.Device:
    """Where float64 is fast: the default device, unless that is a TPU, which only emulates it."""
    device = jax.local_devices()[0]
    if device.platform != "tpu":
        return device
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # this process was started without the CPU's backend
        return device
