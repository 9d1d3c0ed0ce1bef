r"""Speed and memory of DCNv3, forward and backward, and of torch's grid_sample beside it.

    python benchmarks/dcnv3.py --core 0
    python benchmarks/dcnv3.py --core 0 --rounds 9 --batch 4 --json dcnv3.json

The shapes are those of the first three stages of InternImage-T at 224 pixels; gradients are those
of values, offsets and masks. Every round times both, one after the other. Needs jax and flax, and
for the comparison torch, which is left out where it is not installed.
"""

import argparse
import functools
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
STAGES = ((56, 64, 4), (28, 128, 8), (14, 256, 16))  # side, channels, groups


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    given = arguments(argv)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})  # before jax counts the cores for its threads
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    if given.growth is not None:
        print(growth(steps(given, *STAGES[given.growth])["torch"]))
        return 0
    import jax
    import timing

    machine = timing.machine(jax.devices()[0])
    print(f"{machine}; load {os.getloadavg()[0]:.1f}; jax {jax.__version__}")
    print("forward and backward; median (range) of the rounds; processor time on a CPU")
    cases = [steps(given, *stage) for stage in STAGES]
    report = [measure(given, *case) for case in zip(STAGES, cases, strict=True)]
    for number, (figures, case) in enumerate(zip(report, cases, strict=True)):
        figures["mib"] = {"ours": case["ours"].mib}
        if "torch" in case:
            figures["mib"]["torch"] = apart(given, number)
        show(figures, "cpu" if jax.devices()[0].platform == "cpu" else "wall")
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--batch", type=int, default=4, help="images (default 4)")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the values")
    add("--rounds", type=int, default=9, help="to time (default 9)")
    add("--core", type=int, help="pin the process to this core: one thread for everything")
    add("--json", metavar="FILE", help="also write the figures there")
    add("--growth", type=int, help=argparse.SUPPRESS)  # of torch's memory on this stage
    given = parser.parse_args(argv)
    if min(given.batch, given.rounds) < 1:
        parser.error("--batch and --rounds are 1 or more")
    return given


def steps(given: argparse.Namespace, *stage: int) -> dict[str, Callable[[], Any]]:
    """What is compared on one stage."""
    import timing

    arrays = synthetic(given.batch, *stage)
    found = {"ours": ours(arrays, given.dtype)}
    if importlib.util.find_spec("torch") is not None:
        found["torch"] = by_grid_sample(arrays, timing.cores())
    return found


def measure(
    given: argparse.Namespace, stage: Sequence[int], case: dict[str, Any]
) -> dict[str, Any]:
    """Milliseconds of each, and the ratio, as JSON-able data."""
    import timing

    timed = {name: timing.Case(step, 1.0) for name, step in case.items()}
    rates = timing.interleaved(timed, rounds=given.rounds)
    found = {name: timing.Rates(*(1e3 / x for x in rate)) for name, rate in rates.items()}
    if "torch" in rates:
        found["ratio"] = rates["ours"].over(rates["torch"])
    sizes = dict(zip(("side", "channels", "groups"), stage, strict=True), batch=given.batch)
    return sizes | {name: value.spread() for name, value in found.items()}


def show(figures: dict[str, Any], clock: str) -> None:
    """Prints the figures of one stage."""

    def text(name):
        middle, least, most = figures[name][clock].values()
        return f"{middle:.2f} ({least:.2f} to {most:.2f})"

    line = "{batch}x{side}x{side}x{channels}, {groups} groups: ".format(**figures)
    mib = figures["mib"]
    line += "; ".join(f"{name} {text(name)} ms, {mib[name]:.0f} MiB" for name in mib)
    if "torch" in mib:
        share = mib["ours"] / max(mib["torch"], 1e-9)
        line += f"; {text('ratio')} times as fast in {share:.2f} of the memory"
    print(line, flush=True)


def synthetic(batch: int, side: int, channels: int, groups: int) -> list[Any]:
    """Values, offsets of at most 2 cells, masks that sum to 1, and a cotangent, in float32."""
    import numpy as np

    rng = np.random.default_rng(0)
    points = (batch, side, side, groups, 9)
    masks = np.exp(rng.normal(size=points))
    arrays = (
        rng.normal(size=(batch, side, side, channels)),
        np.clip(0.7 * rng.normal(size=(*points, 2)), -2, 2),
        masks / masks.sum(-1, keepdims=True),
        rng.normal(size=(batch, side, side, channels)),
    )
    return [x.astype(np.float32) for x in arrays]


class Compiled(NamedTuple):
    """A compiled step on its arguments; mib: what XLA plans for temporary memory and results."""

    step: Callable[..., Any]
    arguments: tuple
    mib: float

    def __call__(self) -> None:
        """Runs it to its end."""
        import jax

        jax.block_until_ready(self.step(*self.arguments))


def ours(arrays: list[Any], dtype: str) -> Compiled:
    """DCNv3, with values and cotangent in `dtype`."""
    import jax
    import jax.numpy as jnp

    from m3i_jax.nn.deformable import dcnv3

    def step(values, offsets, masks, g):
        y, pull = jax.vjp(dcnv3, values, offsets, masks)
        return y, pull(g)

    values, offsets, masks, g = (jnp.asarray(x) for x in arrays)
    placed = values.astype(dtype), offsets, masks, g.astype(dtype)
    compiled = jax.jit(step).lower(*placed).compile()
    plan = compiled.memory_analysis()
    return Compiled(compiled, placed, (plan.temp_size_in_bytes + plan.output_size_in_bytes) / 2**20)


def by_grid_sample(arrays: list[Any], threads: int) -> Callable[[], Any]:
    """The same in torch, in float32, as InternImage's code has it without CUDA."""
    import torch

    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    *inputs, g = (torch.from_numpy(x).to(device) for x in arrays)
    batch, side, _, groups, points, _ = inputs[1].shape
    line = torch.arange(-1.0, 2.0)
    taps = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(points, 2)
    cells = torch.arange(float(side))
    centres = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), -1)
    places = (centres[:, :, None, None] + taps).to(device)

    def forward(values, offsets, masks):
        grid = (2 * (places + offsets) + 1) / side - 1
        grid = grid.permute(0, 3, 1, 2, 4, 5).reshape(batch * groups, side**2, points, 2)
        maps = values.permute(0, 3, 1, 2).reshape(batch * groups, -1, side, side)
        read = torch.nn.functional.grid_sample(maps, grid, align_corners=False)
        weights = masks.permute(0, 3, 1, 2, 4).reshape(batch * groups, 1, side**2, points)
        y = (read * weights).sum(-1).reshape(batch, -1, side, side)
        return y.permute(0, 2, 3, 1)

    def step():
        tensors = [x.detach().requires_grad_() for x in inputs]
        forward(*tensors).backward(g)
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def apart(given: argparse.Namespace, stage: int) -> float:
    """MiB that torch needs, in a process of its own that gives all freed memory back (glibc)."""
    words = f"--batch {given.batch} --dtype {given.dtype} --growth {stage}".split()
    words += [] if given.core is None else ["--core", str(given.core)]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**16)},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def growth(run: Callable[[], Any]) -> float:
    """MiB by which the resident memory of the process grows while it runs again; Linux."""
    run()
    resident = functools.partial(pathlib.Path("/proc/self/statm").read_text)
    pages = lambda: int(resident().split()[1])  # noqa: E731
    start, most, done = pages(), 0, threading.Event()

    def watch():
        nonlocal most
        while not done.wait(0.001):
            most = max(most, pages())

    thread = threading.Thread(target=watch)
    thread.start()
    run()
    done.set()
    thread.join()
    return (most - start) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    sys.exit(main())
