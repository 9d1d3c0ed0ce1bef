"""Checkpoints that were changed on disk, one way after the other: found, or without effect.

    python benchmarks/mutations.py [--count 1000] [--only 417] [--seed 0]

A tiny MAE's work directory with three steps is copied, changed in one way or two, and read as a run
reads it that goes on, and as `m3i_jax.load` does. What has to come is a sentence, or the items of a
step to the bit; an older step is another answer, and has to be said. What was changed depends on
seed and number alone. Who seals again what he has changed is not found, see SECURITY.md: the forged
manifests here say something else of the same bytes. The counts are in docs/reliability.md.
"""

import argparse
import collections
import contextlib
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import changes
import jax
import numpy as np

import m3i_jax
from m3i_jax import cli, trees
from m3i_jax.build import UserError
from m3i_jax.checkpoints import place
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config

STEPS = (10, 20, 30)
SECONDS = 30  # in which an answer comes, however busy the machine is
ANSWERS = ("refused", "an older step, and said so", "as it was")
SILENT = "SILENT"
LOG = logging.getLogger("m3i_jax")


class Original(NamedTuple):
    """A work directory, the shapes of its items, and what each of its steps holds."""

    workdir: Path
    shapes: dict[str, Any]
    steps: dict[int, tuple[dict[str, Any], dict[str, Any]]]


class Answer(NamedTuple):
    """How a work directory was read. kind: of ANSWERS, or SILENT.  said: in which words."""

    kind: str
    said: str


class Told(logging.Handler):
    """What the library has logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps it."""
        self.lines.append(record.getMessage())


def made(workdir: Path) -> Original:
    """Three steps of a tiny MAE that differ in every array."""
    raw = cli.load("digit_scenes/mae").to_dict()
    raw.update(image=16, batch=8, duration="8 steps", warmup="1 steps", mesh=dict(data=1, fsdp=1))
    raw["encoder"].update(width=32, depth=1, heads=2, patch=4)
    raw["decoders"]["image"].update(width=32, depth=1, heads=2)
    config = Config.of(raw)
    items = assemble(config, images=60, devices=jax.devices()[:1]).create().items()
    there = {}
    with Checkpoints(place.folder(workdir), keep=3) as kept:
        for step in STEPS:
            changed = jax.tree.map(lambda x, step=step: _moved(x, step), items)
            there[step] = changed, {"config": config.to_dict(), "data": {"next": step}}
            kept.save(step, *there[step], wait=True)
    return Original(workdir, items, there)


def _moved(leaf: Any, step: int) -> Any:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jax.random.key_data(leaf) + np.uint32(step))
    return leaf + np.asarray(step, leaf.dtype)


def bits(tree: Any) -> list[tuple]:
    """Every leaf to the bit."""

    def one(leaf):
        key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        leaf = np.asarray(jax.random.key_data(leaf) if key else leaf)
        return str(leaf.dtype), leaf.shape, leaf.tobytes()

    return [(path, *one(leaf)) for path, leaf in trees.named_leaves(tree)]


def goes_on(workdir: Path, original: Original, newest: int) -> Answer:
    """As a run that goes on reads it."""
    with told() as lines, Checkpoints(place.folder(workdir), keep=3) as kept:
        found = kept.restore(original.shapes)
    if found is None:
        return Answer(SILENT, "it would start afresh")
    items, meta = original.steps.get(found.step, ({}, {}))
    if bits(found.items) != bits(items) or found.meta != meta:
        return Answer(SILENT, f"step {found.step} is not what was saved")
    return _older(found.step, newest, lines)


def loads(workdir: Path, original: Original, newest: int) -> Answer:
    """As `m3i_jax.load` reads it, whose answer says the step."""
    with told() as lines:
        encoder = m3i_jax.load(workdir)
    items, _ = original.steps.get(encoder.model.step, ({"ema": {"encoders": {"image": {}}}}, {}))
    if bits(encoder.params) != bits(items["ema"]["encoders"]["image"]):
        return Answer(SILENT, f"the encoder of step {encoder.model.step} is not what was saved")
    lines = [*lines, f"it is of step {encoder.model.step}"]
    return _older(encoder.model.step, newest, lines)


def _older(step: int, newest: int, lines: list[str]) -> Answer:
    """What came, where the arrays are those of the step."""
    if step == newest:
        return Answer("as it was", "")
    return Answer("an older step, and said so" if lines else SILENT, "; ".join(lines))


@contextlib.contextmanager
def told() -> Iterator[list[str]]:
    """The warnings of what happens inside."""
    handler = Told()
    LOG.addHandler(handler)
    try:
        yield handler.lines
    finally:
        LOG.removeHandler(handler)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Raises TimeoutError in what takes too long."""

    def late(*_):
        raise TimeoutError(f"no answer in {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def tried(number: int, seed: int, original: Original, place_: Path) -> tuple[str, list[Answer]]:
    """What was changed, and both answers."""
    rng, workdir = random.Random(f"{seed} {number}"), place_ / f"copy-{number}"
    shutil.copytree(original.workdir, workdir)
    what = changes.changed(workdir, number, rng)
    answers = []
    for read in (loads, goes_on):
        try:
            with in_time():
                answers.append(read(workdir, original, STEPS[-1]))
        except UserError as error:
            lines = str(error).strip().splitlines()
            answers.append(Answer("refused" if len(lines) == 1 else SILENT, str(error)))
        except Exception as error:  # noqa: BLE001, whatever it is, no user should see it
            answers.append(Answer(SILENT, f"{type(error).__name__}: {error}"))
    shutil.rmtree(workdir)
    return what, answers


def table(found: Mapping[str, collections.Counter]) -> str:
    """Counts by change and answer."""
    kinds = (*ANSWERS, SILENT)
    lines = [f"{'':28}" + "".join(f"{kind:>28}" for kind in kinds)]
    total = sum(found.values(), collections.Counter())
    for name, counts in (*sorted(found.items()), ("all", total)):
        lines.append(f"{name:28}" + "".join(f"{counts[kind]:28}" for kind in kinds))
    return "\n".join(lines)


def main() -> None:
    """All of them, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--only", type=int, default=None, help="Makes this one, and says it.")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    LOG.propagate, start, silent = False, time.process_time(), 0
    found: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory() as there:
        original = made(Path(there) / "run")
        for number in range(args.count) if args.only is None else [args.only]:
            what, answers = tried(number, args.seed, original, Path(there))
            for answer in answers:
                found[what.split(":")[0]][answer.kind] += 1
                silent += answer.kind == SILENT
                if answer.kind == SILENT or args.only is not None:
                    print(f"{number}: {what}: {answer.kind}: {answer.said}", flush=True)
    print(table(found))
    print(f"{silent} silent; {time.process_time() - start:.0f} s of processor")
    sys.exit(bool(silent))


if __name__ == "__main__":
    main()
