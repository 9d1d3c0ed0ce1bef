r"""Time and result of the linear probe beside scikit-learn's LogisticRegression, in one run.

    python benchmarks/linear_probe.py --rows 5000 --width 384 --classes 10
    python benchmarks/linear_probe.py --rows 50000 --width 768 --classes 100 --json probe.json

Both standardise the same features, choose the penalty among seven on the same held-out fifth, each
search starting from the one before, and fit the whole of them: the choice to a gradient of 1e-4,
scikit-learn's default, the fit to 1e-6. The features are clouds in directions whose sizes fall as
those of networks do. Ours is timed with compilation, and once more without. scikit-learn is given
float32, which is the faster of its two, and a thread for each core unless OPENBLAS_NUM_THREADS or
OMP_NUM_THREADS says otherwise. Needs scikit-learn beside the library. --optax makes the same
search, in the same coordinates and precisions and with as many pairs, by optax.lbfgs.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import sys
import time
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    given = arguments(argv)
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    import jax
    import sklearn
    import timing

    from m3i_jax.evaluation.features import FeatureSet
    from m3i_jax.evaluation.probes.logistic import lbfgs

    train, test = (FeatureSet(*table) for table in tables(given))
    load = os.getloadavg()[0]
    print(f"{timing.machine(jax.devices()[0])}; load {load:.1f}; jax {jax.__version__}", end="")
    print(f"; scikit-learn {sklearn.__version__}; {given.rows} x {given.width}", end="")
    print(f", {given.classes} classes")
    report = {"ours": timed(lambda: ours(lbfgs, train, test))}
    report["ours, compiled"] = timed(lambda: ours(lbfgs, train, test))
    if given.optax:
        with by_optax():
            for name in ("by optax", "by optax, compiled"):
                report[name] = timed(lambda: ours(lbfgs, train, test))
    report["scikit-learn"] = timed(lambda: peer(train, test))
    for name, found in report.items():
        print(f"{name:18s}", "  ".join(f"{key} {value:g}" for key, value in found.items()))
    for clock in ("wall", "cpu"):
        times = [report[name][clock] for name in ("scikit-learn", "ours", "ours, compiled")]
        ratios = times[0] / times[1], times[0] / times[2]
        print("scikit-learn / ours by {}: {:.2f}, compiled {:.2f}".format(clock, *ratios))
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--rows", type=int, default=5000, help="to train on (default 5000); a fifth more to test")
    add("--width", type=int, default=384, help="of the features (default 384)")
    add("--classes", type=int, default=10, help="(default 10)")
    add("--apart", type=float, default=0.12, help="size of the classes' centres (default .12)")
    add("--optax", action="store_true", help="also the same search by optax.lbfgs")
    add("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    if min(given.rows // 10, given.width, given.classes - 1) < 1:
        parser.error("expected 10 rows, 1 feature and 2 classes, or more")
    return given


def tables(given: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    """Features and labels to train and to test on."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((given.width, given.width)))[0].astype(np.float32)
    turn *= (np.arange(1, given.width + 1, dtype=np.float32) ** -0.8)[:, None]
    centres = given.apart * rng.standard_normal((given.classes, given.width), dtype=np.float32)
    made = []
    for count in (given.rows, given.rows // 5):
        labels = rng.integers(0, given.classes, count).astype(np.int32)
        noise = rng.standard_normal((count, given.width), dtype=np.float32)
        made.append(((centres[labels] + noise) @ turn, labels))
    return made


def timed(once: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `once` found, with seconds by the clock and of the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = once()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu} | found


def ours(lbfgs, train, test) -> dict[str, Any]:
    """The library's probe."""
    probe = lbfgs(train, test)
    return {"l2": probe.l2, "top1": probe.top1, "iterations": probe.iterations}


@contextlib.contextmanager
def by_optax():
    """While it is open, probes are searched by `optax.lbfgs`."""
    import jax
    import jax.numpy as jnp
    import optax

    from m3i_jax.evaluation.probes import logistic, quasi_newton

    optimizer = optax.lbfgs(memory_size=quasi_newton.MEMORY)

    class Search(NamedTuple):
        """As much of `quasi_newton.Search` as its caller looks at."""

        point: Any
        state: Any
        size: Any
        count: Any
        stuck: bool = False

    def begin(point, dtype, *, old=None):
        point = jnp.asarray(np.asarray(point, dtype))
        count = jnp.int32(0 if old is None else int(old.count))
        return Search(point, optimizer.init(point), jnp.asarray(np.inf, dtype), count)

    @functools.partial(jax.jit, static_argnums=0)
    def advance(objective, search, data, *, tolerance, limit):
        # Its line search differentiates the function itself.
        loss = lambda point: _with_gradient(objective)(point, data)  # noqa: E731

        def going(search):
            return (search.size > tolerance) & (search.count < limit)

        def step(search):
            value, grad = optax.value_and_grad_from_state(loss)(search.point, state=search.state)
            how = dict(value=value, grad=grad, value_fn=loss)
            updates, state = optimizer.update(grad, search.state, search.point, **how)
            point = optax.apply_updates(search.point, updates)
            return search._replace(
                point=point, state=state, size=objective(point, data)[2], count=search.count + 1
            )

        return jax.lax.while_loop(going, step, search)

    before = logistic.quasi_newton
    logistic.quasi_newton = types.SimpleNamespace(begin=begin, advance=advance)
    try:
        yield
    finally:
        logistic.quasi_newton = before


def _with_gradient(objective):
    """(point, data) -> value, whose gradient is the one that the objective gives."""
    import jax

    @jax.custom_vjp
    def loss(point, data):
        return objective(point, data)[0]

    def forward(point, data):
        value, grad, _ = objective(point, data)
        return value, grad

    loss.defvjp(forward, lambda grad, g: (g * grad, None))
    return loss


def peer(train, test) -> dict[str, Any]:
    """The same by scikit-learn."""
    from sklearn.linear_model import LogisticRegression

    from m3i_jax.evaluation.probes.logistic import STRENGTHS
    from m3i_jax.evaluation.probes.probe import statistics

    def standardised(rows, *others):
        mean, scale = statistics(rows)
        return [((x - mean) * scale).astype(np.float32) for x in (rows, *others)]

    held, rest = np.split(np.random.default_rng(0).permutation(len(train.labels)), [
        max(1, len(train.labels) // 5)
    ])  # fmt: skip
    x, x_held = standardised(train.features[rest], train.features[held])
    fit = LogisticRegression(warm_start=True, tol=1e-4, max_iter=2000)
    scores = []
    for l2 in STRENGTHS:
        fit.C = 1 / (l2 * len(rest))
        fit.fit(x, train.labels[rest])
        scores.append(fit.score(x_held, train.labels[held]))
    l2 = STRENGTHS[int(np.argmax(scores))]
    x, x_test = standardised(train.features, test.features)
    whole = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-6, max_iter=2000).fit(x, train.labels)
    count = int(whole.n_iter_[0])
    return {"l2": l2, "top1": whole.score(x_test, test.labels), "iterations": count}


if __name__ == "__main__":
    sys.exit(main())
