"""Does a long run grow? A tiny MAE for 20 000 steps: memory, descriptors, threads, compilations.

    python benchmarks/soak.py [--steps 20000] [--json soak.json] [--workdir DIR]

It is a run as any other: it logs, saves, monitors and draws pictures, all of them oftener than real
ones do. Every `EVERY` steps the process is looked at. Slopes are fitted to what follows the first
quarter: until then caches fill. docs/reliability.md has the figures.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from m3i_jax import cli
from m3i_jax.analysis.gallery import drawing
from m3i_jax.evaluation.monitor import monitor
from m3i_jax.training.config import Config
from m3i_jax.training.loop import Hook
from m3i_jax.training.session import RunContext, train

EVERY = 100
COMPILED = "/jax/core/compile/backend_compile_duration"


class Look(NamedTuple):
    """A process behind a step. resident: MiB."""

    step: int
    seconds: float
    resident: float
    descriptors: int
    threads: int
    shared: int
    compilations: int


def look(step: int, start: float, compilations: int) -> Look:
    """This process, as the kernel sees it; `shared` counts files of shared memory of all."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Look(
        step,
        time.monotonic() - start,
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(os.listdir("/proc/self/fd")),
        threading.active_count(),
        len(os.listdir("/dev/shm")),
        compilations,
    )


def config(steps: int) -> Config:
    """A tiny MAE that saves, measures and draws every few hundred steps."""
    found = cli.load("digit_scenes/mae").to_dict()
    found.update(image=16, batch=8, duration=f"{steps} steps", warmup="100 steps", threads=2)
    found["encoder"].update(width=32, depth=1, heads=2, patch=4)
    found["decoders"]["image"].update(width=32, depth=1, heads=2)
    found["data"]["length"] = 500
    found["log"] = dict(every=50, images=max(steps // 10, 1))
    found["checkpoint"] = dict(every=max(steps // 40, 1), keep=2)
    found["monitor"] = dict(every=max(steps // 20, 1), bank=24, queries=16, most=0.0)
    return Config.of(found)


def watching(looks: list[Look]) -> Callable[[RunContext], list[Hook]]:
    """The hooks of a run, and one that looks at the process."""
    start, compiled = time.monotonic(), [0]

    def count(event: str, seconds: float, **_: object) -> None:
        compiled[0] += event == COMPILED

    jax.monitoring.register_event_duration_secs_listener(count)

    def watch(context: RunContext) -> list[Hook]:
        def hook(info) -> None:
            if info.step % EVERY == 0:
                looks.append(look(info.step, start, compiled[0]))

        return [*monitor(context), *drawing(context), hook]

    return watch


def report(looks: list[Look]) -> dict[str, float]:
    """What grew behind the first quarter, per 1000 steps, and the ends of it."""
    late = [one for one in looks if one.step >= looks[-1].step / 4]
    steps = np.array([one.step for one in late]) / 1000
    slope = lambda name: float(np.polyfit(steps, [getattr(one, name) for one in late], 1)[0])  # noqa: E731
    ends = {}
    for name in Look._fields[2:]:
        values = [getattr(one, name) for one in late]
        ends |= {
            f"{name}/first": values[0],
            f"{name}/last": values[-1],
            f"{name}/most": max(values),
        }
        ends[f"{name}/per_1000_steps"] = slope(name)
    rate = (late[-1].step - late[0].step) / (late[-1].seconds - late[0].seconds)
    return {"steps": looks[-1].step, "steps_per_second": rate, **ends}


def main() -> None:
    """Runs, looks and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--workdir", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    args = parser.parse_args()
    looks: list[Look] = []
    with tempfile.TemporaryDirectory() as place:
        status = train(config(args.steps), args.workdir or place, watch=watching(looks))
    assert status == 0, status
    found = report(looks)
    for name, value in found.items():
        print(f"{name:32} {value:12.3f}")
    if args.json:
        args.json.write_text(json.dumps({**found, "looks": looks}))


if __name__ == "__main__":
    main()
