"""What is timed, and how: interleaved rounds, by the clock and by processor time."""

import collections
import math
import os
import pathlib
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.training.assemble import Run

# Rows x inner x columns of matrix products: squares, and the MLP of ViT-S and ViT-B.
PRODUCTS = {
    True: ((1024, 1024, 1024), (2048, 2048, 2048), (1576, 384, 1536), (3152, 768, 3072)),
    False: ((4096, 4096, 4096), (8192, 8192, 8192), (50432, 768, 3072)),
}
LEAST = 0.1  # seconds that one measurement of a product takes at least
CALLS = 300  # of the empty step
PROFILED = 3  # steps


class Case(NamedTuple):
    """once() returns when it is done; work: the images or FLOPs that it does."""

    once: Callable[[], Any]
    work: float


class Rates(NamedTuple):
    """Work per second, one value per round: of the clock, and of this process's processor time.

    Processor time is summed over the threads of the process; it leaves out the time that a core
    was given to others, though not what they do to caches and clock rate.
    """

    wall: np.ndarray
    cpu: np.ndarray

    def over(self, other: "Rates") -> "Rates":
        """Ratios, round by round."""
        return Rates(self.wall / other.wall, self.cpu / other.cpu)

    def times(self, factor: float) -> "Rates":
        """All of them times a factor."""
        return Rates(self.wall * factor, self.cpu * factor)

    def spread(self) -> dict[str, dict[str, float]]:
        """Median, least and largest of each clock."""
        of = {"median": np.median, "min": np.min, "max": np.max}
        return {
            clock: {name: float(pick(values)) for name, pick in of.items()}
            for clock, values in self._asdict().items()
        }


def interleaved(cases: Mapping[str, Case], *, rounds: int) -> dict[str, Rates]:
    """Times every case once per round, one after the other, after one round that does not count."""
    seconds = {name: [] for name in cases}
    for _ in range(1 + rounds):
        for name, case in cases.items():
            wall, cpu = time.perf_counter(), time.process_time()
            case.once()
            seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    rates = {name: cases[name].work / np.asarray(s[1:]) for name, s in seconds.items()}
    return {name: Rates(rate[:, 0], rate[:, 1]) for name, rate in rates.items()}


def products(dtype: str, *, cpu: bool) -> dict[str, Case]:
    """Plain matrix products in `dtype` with float32 sums, each repeated for a tenth of a second."""
    return {"{}x{}x{}".format(*shape): _product(shape, dtype) for shape in PRODUCTS[cpu]}


def _product(shape: tuple[int, int, int], dtype: str) -> Case:
    rows, inner, columns = shape
    x = jnp.ones((rows, inner), dtype)
    y = jnp.ones((inner, columns), dtype)
    # Asking for float32 sums is what the network does, and on a CPU twice as fast in bfloat16.
    multiply = jax.jit(lambda x, y: jnp.dot(x, y, preferred_element_type=jnp.float32).astype(dtype))
    for _ in range(2):
        before = time.perf_counter()
        multiply(x, y).block_until_ready()
    repeats = math.ceil(LEAST / max(1e-6, time.perf_counter() - before))

    def once():
        jax.block_until_ready([multiply(x, y) for _ in range(repeats)][-1])

    return Case(once, repeats * 2.0 * rows * inner * columns)


def best(rates: Mapping[str, Rates]) -> Rates:
    """The fastest of several in every round: the ceiling."""
    return Rates(*(np.max([getattr(r, c) for r in rates.values()], 0) for c in Rates._fields))


class Step:
    """A compiled step with its state and one batch."""

    def __init__(self, run: Run, batch: Any):
        """Traces and compiles; `seconds` says how long each took, by both clocks."""
        self.batch, self.calls = batch, []
        clocks = {"wall": time.perf_counter, "cpu": time.process_time}
        read = lambda: {name: clock() for name, clock in clocks.items()}  # noqa: E731
        with jax.set_mesh(run.mesh):
            start = read()
            advance = run.compiled()
            lowered = advance.trace(jax.tree.leaves(run.abstract), batch).lower()
            traced = read()
            self.advance = advance.of(lowered.compile())
            done = read()
        self.seconds = {
            "trace": {name: traced[name] - start[name] for name in clocks},
            "compile": {name: done[name] - traced[name] for name in clocks},
        }
        self.leaves = jax.tree.leaves(run.create())

    def __call__(self, steps: int) -> float:
        """Queues `steps` steps, waits for them, and returns the last loss."""
        for _ in range(steps):
            before = time.perf_counter()
            self.leaves, metrics = self.advance(self.leaves, self.batch)
            self.calls.append(time.perf_counter() - before)
        return float(metrics["train/loss"])


def dearest(step: Step, count: int) -> list[dict[str, Any]]:
    """The operations of the compiled program that take longest: ms and calls of a step, name."""
    with tempfile.TemporaryDirectory() as folder:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with jax.profiler.trace(folder, profiler_options=options):
            step(PROFILED)
        (file,) = pathlib.Path(folder).rglob("*.xplane.pb")
        planes = list(jax.profiler.ProfileData.from_file(str(file)).planes)
    ms, times = collections.Counter(), collections.Counter()
    for plane in planes:
        for line in plane.lines:
            # Kernels of an accelerator; on a CPU what XLA's pool runs.
            if not ("Stream" in line.name or line.name == "XLA Ops" or "XLAEigen" in line.name):
                continue
            for event in line.events:
                if "ThunkExecutor" not in event.name:
                    ms[event.name] += 1e-6 * event.duration_ns / PROFILED
                    times[event.name] += 1 / PROFILED
    return [{"name": n, "ms": value, "times": times[n]} for n, value in ms.most_common(count)]


def empty_call(run: Run, batch: Any) -> float:
    """Seconds of the host per call of a step that has nothing to compute.

    As many leaves as the state has, all of one element, donated and handed through, and as many
    metrics: what is left is the cost of the call itself.
    """
    with jax.set_mesh(run.mesh):
        _, metrics = jax.eval_shape(run.step(), run.abstract, batch)
    names, shape = tuple(metrics), jax.tree.map(lambda x: jnp.zeros((1,), x.dtype), batch)
    leaves = [jnp.zeros((1,)) for _ in jax.tree.leaves(run.abstract)]

    def nothing(leaves, batch):
        return leaves, {name: jnp.zeros(()) for name in names}

    advance = jax.jit(nothing, donate_argnums=0)
    seconds = []
    for _ in range(CALLS):
        jax.block_until_ready(leaves)
        before = time.perf_counter()
        leaves, _ = advance(leaves, shape)
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds)


def memory(step: Step, device: Any) -> dict[str, float]:
    """Peak MiB: on the device where it counts, else by XLA's plan; and of the whole process."""
    plan, counted = step.advance.program.memory_analysis(), device.memory_stats() or {}
    found = {
        "arguments": plan.argument_size_in_bytes / 2**20,
        "temporary": plan.temp_size_in_bytes / 2**20,
        # Linux counts kilobytes, macOS bytes.
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (2**10 if sys.platform != "darwin" else 2**20),
    }
    if "peak_bytes_in_use" in counted:
        found["device"] = counted["peak_bytes_in_use"] / 2**20
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine(device: Any) -> str:
    """Device, processor and cores."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        name = models[0] if models else name
    where = "" if device.platform == "cpu" else f"{device.device_kind}, "
    return f"{where}{name}, {cores()} of {os.cpu_count()} cores, {platform.system()}"
