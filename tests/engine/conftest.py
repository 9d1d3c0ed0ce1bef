"""Two real steps of a published recipe, shrunk, from a state in the middle of its run.

The reference is in the modules beside this file, `networks64`, `optimizers64` and `replay64`.
"""

import importlib.util
import pathlib
import re
import sys
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

# Without torch, which the reference is written in, there is nothing to compare with.
collect_ignore_glob = [] if importlib.util.find_spec("torch") else ["*_test.py"]
BATCH, SIDE = 8, 32
# A recipe's own numbers stay; only sizes become small.
SIZES = dict(width=32, depth=2, heads=2, depths=(1, 1), patch=8)
SMALL = dict(hidden=24, out=12, size=24, length=8, vocabulary=64, projection=12, local_size=16)
# The group of what starts late in an optimiser's state, and the counts of its own.
LATE = re.compile(r"/inner_states/1/inner_state/inner_state/")
MOMENT = re.compile(r"^optimizer/.*?/(trace|mu|nu)/((?:encoders|decoders)/.*)$")


class Played(NamedTuple):
    """Two steps of the engine: what they started from, what they were given, what they made.

    Parameters and moments are {path: array}; `made` has one `replay64.StepResult` for each step.
    """

    run: Any
    start: int
    params: dict
    ema: dict
    moments: dict
    slots: dict
    batches: list
    made: list


def shrink(config, batch):
    """The config with small sizes, two steps an epoch, and images that are used as they come."""
    config = dict(
        config, image=SIDE, batch=batch, dtype="float32", epoch_size=2 * batch, augment={}
    )
    resnet = "resnet" in config["encoder"]["name"]
    keys = ("width", "depths") if resnet else ("width", "depth", "heads", "patch")
    config["encoder"] = config["encoder"] | {k: SIZES[k] for k in keys}
    if resnet:
        config["encoder"]["width"] = 8
    text = dict(width=16, depth=2, heads=2, vocabulary=64, length=8, projection=12)
    config["towers"] = {n: b | text if n == "text" else b for n, b in config["towers"].items()}
    small = lambda b: b | {k: SMALL[k] for k in SMALL if isinstance(b.get(k), int)}  # noqa: E731
    config["decoders"] = {n: small(b) for n, b in config["decoders"].items()}
    for name in ("objective", "crops", "captions"):
        config[name] = small(config[name])
    config["mesh"] = dict(data=1, fsdp=1)
    return config


def begun(state, start, late, given):
    """The state at step `start`: nothing is zero or one, no two branches are equal.

    late: step from which the parameters that wait for it count their own; their moments are 0 then.
    given: {end of a path: value} of leaves that are not drawn.
    """
    from m3i_jax import trees

    rng = np.random.default_rng(0)

    def draw(path, x):
        x = np.array(x)
        if told := [value for end, value in given.items() if path.endswith(end)]:
            return np.full_like(x, told[0])
        if path.endswith("queue/next"):
            return x + 20
        own = max(0, start - late) if LATE.search(path) else start
        if x.dtype.kind == "i":
            return np.full_like(x, own) if path.startswith(("step", "optimizer")) else x
        noise = rng.normal(size=x.shape).astype(np.float32)
        if LATE.search(path) and not own:
            return x
        if moment := MOMENT.match(path):
            return np.float32(1e-4 + 1e-4 * noise**2 if moment[1] == "nu" else 1e-2 * noise)
        if path.endswith("/var"):
            return x + noise**2
        return x + 0.1 * noise if path.startswith(("params", "slots/ema")) else x

    return trees.map_with_name(draw, state)


def batches(rows):
    """Two batches in two views and two small crops, labels and texts, some of which are missing."""
    from m3i_jax.types import Batch

    rng = np.random.default_rng(1)
    for _ in range(2):
        image = lambda: rng.integers(0, 256, (rows, SIDE, SIDE, 3), dtype=np.uint8)  # noqa: E731
        box = np.tile(np.float32([0, 0, 32, 32, 0, 32]), (rows, 1))
        text = rng.integers(1, 60, (rows, 8)).astype(np.int32)
        for row in range(rows):
            text[row, rng.integers(3, 9) :] = 0
        text[5] = 0
        views = {"a": image(), "b": image()}
        views |= {v: image()[:, ::2, ::2] for v in ("l0", "l1")}
        label = np.int32([0, 1, 0, 2, -1, -1, 0, 1])[np.arange(rows) % 8]
        yield Batch(views, dict.fromkeys(views, box), label, text)


@pytest.fixture(scope="session")
def play():
    """play(config file, ..., **changes) -> Played; a change of the config is "block.key": value.

    start: the first step, a third of the run by default.  late: see `begun`.
    state: {end of a path: value} of leaves that do not start as drawn.  batch: rows.
    """
    import replay64

    from m3i_jax import cli, trees
    from m3i_jax.parallel import sharding
    from m3i_jax.training.assemble import assemble
    from m3i_jax.training.config import Config

    def result(state, metrics):
        leaves = dict(trees.named_leaves(state))
        part = lambda prefix: {  # noqa: E731
            p.removeprefix(prefix): x for p, x in leaves.items() if p.startswith(prefix)
        }
        moments: dict[str, dict] = {}
        for path, x in leaves.items():
            if found := MOMENT.match(path):
                moments.setdefault(found[1], {})[found[2]] = x
        slots = {p: x for p, x in part("slots/").items() if not p.startswith("ema/")}
        loss, norm = (float(metrics.get(k, 0)) for k in ("train/loss", "optim/grad_norm"))
        return replay64.StepResult(loss, norm, part("params/"), part("slots/ema/"), moments, slots)

    ready = {}

    def made_ready(name, batch, changes):
        """The run and its compiled step, once for all tests of a config."""
        if (known := (name, batch, repr(sorted(changes.items())))) not in ready:
            config = shrink(cli.load(name).to_dict(), batch)
            for path, value in changes.items():
                block, key = path.split(".")
                config[block][key] = value
            run = assemble(Config.of(config), images=2 * batch, devices=jax.devices()[:1])
            ready[known] = run, run.compiled()
        return ready[known]

    def played(name, *, start=None, late=0, state=None, batch=BATCH, **changes):
        run, advance = made_ready(name, batch, changes)
        start = run.total // 3 if start is None else start
        begin = begun(jax.device_get(run.create()), start, late, state or {})
        first, made, given = result(begin, {}), [], []
        with jax.set_mesh(run.mesh):
            leaves = jax.tree.leaves(jax.device_put(begin, run.shardings))
            for whole in batches(batch):
                needed = run.method.sources
                seen = whole._replace(
                    images={n: x for n, x in whole.images.items() if n in needed},
                    boxes={n: x for n, x in whole.boxes.items() if n in needed},
                    text=whole.text if "text" in needed else None,
                )
                leaves, metrics = advance(leaves, sharding.put(seen, run.mesh))
                after = jax.tree.unflatten(jax.tree.structure(begin), jax.device_get(leaves))
                made.append(result(after, metrics))
                given.append(seen)
        return Played(run, start, first.params, first.ema, first.moments, first.slots, given, made)

    return played


ROUNDING = 2.0**-23  # of a float32, twice the most that one rounding leaves


def off(got, want, before):
    """{path: distance of two leaves, in units of what float32 may leave of it}, where more than 1.

    One part in 1e5 of what the steps have changed: sums of a few hundred terms in float32 leave
    about 1e-6 of it. The rounding of the leaf itself, of which a step changes little. And where the
    gradient is zero but for rounding (a bias in front of a batch norm), 1e-7 of that of the tree.
    """
    change = {p: np.linalg.norm(want[p] - np.float64(before[p])) for p in want}
    whole = np.linalg.norm(list(change.values()))
    far = {
        p: np.linalg.norm(np.float64(got[p]) - want[p])
        / max(1e-5 * change[p] + 2 * ROUNDING * np.linalg.norm(want[p]) + 1e-7 * whole, 1e-30)
        for p in want
    }
    return {p: float(d) for p, d in far.items() if not d <= 1.0}


@pytest.fixture(scope="session")
def same():
    """same(played, expected): every number of the engine's steps is that of the reference's."""

    def check(played, expected):
        for number, (got, want) in enumerate(zip(played.made, expected, strict=True)):
            np.testing.assert_allclose(got.loss, want.loss, rtol=1e-5, err_msg="loss")
            np.testing.assert_allclose(got.norm, want.norm, rtol=1e-5, err_msg="gradient")
            for what in ("params", "ema", "slots", *want.moments):
                mine, other, before = (
                    m.moments[what] if what in want.moments else getattr(m, what)
                    for m in (got, want, played)
                )
                assert mine.keys() == other.keys(), what
                wrong = off(mine, other, before)
                assert not wrong, f"step {number}, {what}: {wrong}"

    return check
