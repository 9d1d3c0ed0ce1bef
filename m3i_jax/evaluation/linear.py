"""Linear probes of frozen features: the exact optimum, and the LARS recipe of the papers.

Both standardise each feature by its mean and variance over the training set, (x − μ)/√(σ² + 1e-6):
what batch norm without affine computes at evaluation, in the limit of its running statistics.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize
from jax.scipy.linalg import solve_triangular

from m3i_jax import metrics
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.features import NotMeasurable, Table
from m3i_jax.evaluation.progress import ticker
from m3i_jax.types import Array

EPS = 1e-6  # of the variance, as in MAE's main_linprobe.py
STRENGTHS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # l2 that `lbfgs` chooses from
CHUNK = 4096  # rows whose logits are in memory at once
WIDEST = 4096  # features of which the correlations are worth a matrix


class Classifier(NamedTuple):
    """((x − mean)·scale) @ kernel + bias: mean, scale (D,), kernel (D, C), bias (C,), float64."""

    mean: np.ndarray
    scale: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray


class Probe(NamedTuple):
    """A trained probe and how well it does.

    top1, top5: shares of exactly the test rows; top5 only of more than 5 classes.
    l2: strength of the penalty.  iterations: of L-BFGS, or steps of LARS.
    converged: whether the gradient met its tolerance; None for a schedule of fixed length.
    """

    top1: float
    top5: float | None
    classifier: Classifier
    l2: float
    iterations: int
    converged: bool | None


def lbfgs(
    train: Table,
    test: Table,
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
    classes = _check(train, test, classes)
    if l2 is None:
        l2 = _choose(train, classes, tolerance=max(tolerance, 1e-4), limit=iterations, seed=seed)
    elif not 0 < l2 < np.inf:
        raise ValueError(f"l2 is {l2}, expected a positive number (the optimum may else not exist)")
    (fit,) = _fit(train, classes, (l2,), tolerance=tolerance, limit=iterations)
    top1, top5 = _score(fit.classifier, test)
    return Probe(top1, top5, fit.classifier, float(l2), fit.iterations, fit.converged)


def lars(
    key: Array,
    train: Table,
    test: Table,
    *,
    classes: int | None = None,
    base_lr: float = 3.2,
    batch: int = 16384,
    epochs: int = 90,
    warmup: int = 10,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    trust: float = 0.001,
) -> Probe:
    """The papers' recipe: LARS, linear warm-up, cosine to 0 (M3I Table 9).

    docs/methods.md#linear-probe has MAE's and SiameseIM's beside it.

    lr = base_lr · batch/16384, so the steps sum to what the number of *images* allows, whatever
    the batch: on far fewer images than ImageNet's raise `base_lr`, or use `lbfgs`. The last batch
    of an epoch holds what is left, each of its rows once.

    Args:
      key: of the initialisation and the order of the rows.
      train, test: features and labels; every row needs a label.
      classes: how many there are; the largest label decides when None.
      base_lr: at a batch of 16384; 3.2 in M3I, 6.4 in MAE and SiameseIM.
      batch: rows per step, at most the training set.
      epochs, warmup: lengths.
      momentum, weight_decay, trust: of LARS, see `optimizer`.
    """
    classes = _check(train, test, classes)
    if not 0 <= warmup < epochs:
        raise ValueError(f"a warm-up of {warmup} epochs leaves nothing of {epochs}")
    n, batch = len(train.labels), min(batch, len(train.labels))
    steps = -(-n // batch)
    lr = optax.warmup_cosine_decay_schedule(
        0.0, base_lr * batch / 16384, warmup * steps, epochs * steps
    )
    tx = optimizer(lr, momentum=momentum, weight_decay=weight_decay, trust=trust)
    mean, scale = _statistics(train.features)
    x = jnp.asarray((train.features - mean.astype(np.float32)) * scale.astype(np.float32))
    y = jnp.asarray(train.labels)
    key_init, key_order = jax.random.split(key)
    kernel = 0.01 * jax.random.truncated_normal(key_init, -2.0, 2.0, (x.shape[1], classes))
    params = {"kernel": kernel, "bias": jnp.zeros((classes,))}
    state = params, tx.init(params)
    run = jax.jit(functools.partial(_epoch, tx, batch))
    for epoch in range(epochs):
        state = run(state, jax.random.fold_in(key_order, epoch), x, y)
    kernel, bias = (np.asarray(state[0][name], np.float64) for name in ("kernel", "bias"))
    if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
        raise ConfigError(f"the probe diverged at base_lr {base_lr:g}; try a smaller one")
    classifier = Classifier(mean, scale, kernel, bias)
    top1, top5 = _score(classifier, test)
    return Probe(top1, top5, classifier, float(weight_decay), epochs * steps, None)


def optimizer(
    lr: float | optax.Schedule, *, momentum: float, weight_decay: float, trust: float
) -> optax.GradientTransformation:
    """LARS as the probes of MoCo v3, MAE and SiameseIM use it.

    You et al. 2017, Algorithm 1, https://arxiv.org/abs/1708.03888.

        g ← g + wd·w,   g ← g·trust·‖w‖/‖g‖,   m ← momentum·m + g,   w ← w − lr·m

    Biases are neither decayed nor rescaled. `optax.lars` takes the rate into the momentum, which
    under a schedule is another optimiser.
    """

    def matrices(params):
        return jax.tree.map(lambda leaf: leaf.ndim > 1, params)

    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=matrices),
        optax.masked(optax.scale_by_trust_ratio(trust_coefficient=trust), mask=matrices),
        optax.trace(momentum),
        optax.scale_by_learning_rate(lr),
    )


def logits(classifier: Classifier, features: Array) -> np.ndarray:
    """Scores of the classes: (N, D) -> (N, C) float64."""
    x = (np.asarray(features, np.float64) - classifier.mean) * classifier.scale
    return x @ classifier.kernel + classifier.bias


class _Fit(NamedTuple):
    """An optimum, and how it was reached."""

    classifier: Classifier
    iterations: int
    converged: bool


def _choose(train: Table, classes: int, *, tolerance: float, limit: int, seed: int) -> float:
    """The strength of `STRENGTHS` that does best on a fifth that it has not been fitted to."""
    n = len(train.labels)
    if n < 2:
        raise NotMeasurable(
            f"l2 cannot be chosen with {n} training row, of which none can be held out; give two "
            "or more, or l2"
        )
    order = np.random.default_rng(seed).permutation(n)
    cut = max(1, n // 5)
    features, labels = np.asarray(train.features), np.asarray(train.labels)
    held, rest = (Table(features[i], labels[i]) for i in (order[:cut], order[cut:]))
    fits = _fit(rest, classes, STRENGTHS, tolerance=tolerance, limit=limit)
    scores = [_score(fit.classifier, held)[0] for fit in fits]
    return STRENGTHS[int(np.argmax(scores))]


def _fit(
    train: Table, classes: int, strengths: tuple[float, ...], *, tolerance: float, limit: int
) -> list[_Fit]:
    """Optima for each strength, each search starting from the optimum before it."""
    mean, scale = _statistics(train.features)
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
        value, slope, last["steepest"] = _warped(v.reshape(theta.shape), root, *data, l2)
        return float(value), np.asarray(slope).ravel()

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
    value, slope = _loss_and_slope(_unwarped(v, root), x, y, weight, l2)
    steepest = jnp.abs(slope).max()
    if root is None:
        return value, slope, steepest
    kernel = solve_triangular(root, slope[:-1], lower=True)
    return value, jnp.concatenate([kernel, jnp.sqrt(2.0) * slope[-1:]]), steepest


@jax.jit
def _loss_and_slope(theta: Array, x: Array, y: Array, weight: Array, l2: Array) -> tuple:
    """Σ w·CE + (l2/2)‖W‖² and its gradient in one pass; x (m, chunk, D), theta (D + 1, C)."""
    kernel, bias = theta[:-1], theta[-1]

    def add(sums, rows):
        loss, slope, slope_bias = sums
        x, y, weight = rows
        log_p = jax.nn.log_softmax(x @ kernel + bias[None])
        picked = jax.nn.one_hot(y, bias.shape[0], dtype=theta.dtype)
        residual = (jnp.exp(log_p) - picked) * weight[:, None]
        loss -= ((log_p * picked).sum(1) * weight).sum()
        return (loss, slope + x.T @ residual, slope_bias + residual.sum(0)), None

    zero = jnp.zeros((), theta.dtype), jnp.zeros_like(kernel), jnp.zeros_like(bias)
    (loss, slope, slope_bias), _ = jax.lax.scan(add, zero, (x, y, weight))
    loss += 0.5 * l2 * jnp.square(kernel).sum()
    return loss, jnp.concatenate([slope + l2 * kernel, slope_bias[None]])


def _epoch(tx, batch: int, state, key: Array, x: Array, y: Array):
    """One epoch of steps over rows in random order; what fills the last batch weighs nothing."""
    n = x.shape[0]
    steps = -(-n // batch)
    order = jnp.pad(jax.random.permutation(key, n), (0, steps * batch - n))
    real = jnp.arange(steps * batch) < n

    def loss(params, x, y, real):
        scores = jnp.matmul(x, params["kernel"], precision="highest") + params["bias"][None]
        each = optax.softmax_cross_entropy_with_integer_labels(scores, y)
        return (each * real).sum() / real.sum()

    def step(state, rows):
        params, memory = state
        index, real = rows
        slope = jax.grad(loss)(params, x[index], y[index], real)
        updates, memory = tx.update(slope, memory, params)
        return (optax.apply_updates(params, updates), memory), None

    rows = order.reshape(steps, batch), real.reshape(steps, batch)
    return jax.lax.scan(step, state, rows)[0]


def _statistics(features: Array) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 1/√(variance + eps) of each feature, summed in float64 without a float64 copy."""
    features = np.asarray(features)
    chunks = [features[i : i + CHUNK] for i in range(0, len(features), CHUNK)]
    mean = sum(c.sum(0, dtype=np.float64) for c in chunks) / len(features)
    variance = sum(np.square(c - mean).sum(0) for c in chunks) / len(features)
    return mean, 1.0 / np.sqrt(variance + EPS)


def _score(classifier: Classifier, test: Table) -> tuple[float, float | None]:
    """Top-1 and, of more than 5 classes, top-5: exact counts over exact numbers of rows."""
    ks = (1, 5) if len(classifier.bias) > 5 else (1,)
    counts = dict.fromkeys(ks, 0)
    for i in range(0, len(test.labels), CHUNK):
        scores = jnp.asarray(logits(classifier, test.features[i : i + CHUNK]), jnp.float32)
        labels = jnp.asarray(test.labels[i : i + CHUNK])
        for k in ks:
            counts[k] += int(metrics.hits(scores, labels, k=k).sum())
    shares = {k: count / len(test.labels) for k, count in counts.items()}
    return shares[1], shares.get(5)


def _check(train: Table, test: Table, classes: int | None) -> int:
    """The number of classes, of tables that a probe can be made of."""
    for name, table in (("training", train), ("test", test)):
        if not len(table.labels):
            raise NotMeasurable(f"a probe needs data, but the {name} set is empty")
        if bad := int((np.asarray(table.labels) < 0).sum()):
            raise NotMeasurable(f"a probe needs labels, but {bad} rows of the {name} set have none")
    if train.features.shape[1] != test.features.shape[1]:
        raise ValueError(
            f"the training set has {train.features.shape[1]} features per row and the test set "
            f"{test.features.shape[1]}; both must come from one encoder"
        )
    found = 1 + int(max(np.max(train.labels), np.max(test.labels)))
    if classes is not None and found > classes:
        raise ValueError(f"label {found - 1} is not among {classes} classes")
    return found if classes is None else classes


def _device() -> jax.Device:
    """Where float64 is fast: the default device, unless that is a TPU, which only emulates it."""
    device = jax.local_devices()[0]
    if device.platform != "tpu":
        return device
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # this process was started without the CPU's backend
        return device
