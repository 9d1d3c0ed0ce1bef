"""The papers' recipe of a linear probe: LARS on batches of 16384 for 90 epochs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes.probe import Classifier, Probe, class_count, score, statistics
from m3i_jax.types import Array


def lars(
    key: Array,
    train: FeatureSet,
    test: FeatureSet,
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
    classes = class_count(train, test, classes)
    if not 0 <= warmup < epochs:
        raise ValueError(f"a warm-up of {warmup} epochs leaves nothing of {epochs}")
    n, batch = len(train.labels), min(batch, len(train.labels))
    steps = -(-n // batch)
    lr = optax.warmup_cosine_decay_schedule(
        0.0, base_lr * batch / 16384, warmup * steps, epochs * steps
    )
    tx = optimizer(lr, momentum=momentum, weight_decay=weight_decay, trust=trust)
    mean, scale = statistics(train.features)
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
    top1, top5 = score(classifier, test)
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
        grad = jax.grad(loss)(params, x[index], y[index], real)
        updates, memory = tx.update(grad, memory, params)
        return (optax.apply_updates(params, updates), memory), None

    rows = order.reshape(steps, batch), real.reshape(steps, batch)
    return jax.lax.scan(step, state, rows)[0]
