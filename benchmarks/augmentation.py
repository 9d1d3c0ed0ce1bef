r"""What augmentation costs in the step: recipes of the published configs, part by part, per view.

    python benchmarks/augmentation.py --batch 64 --rounds 5

Each case is a program of its own over the same batch of views; rounds take turns. "all" computes
an operation for every sample and throws away what did not want it, as plain `jnp.where` would:
what gating saves is the difference. The host's RandAugment (Pillow, one thread) stands beside the
device's, and the step's resizing beside Pillow's of the same parts. Milliseconds of processor time
a view, median (least to largest): on an accelerator, of the clock.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from m3i_jax import augment  # noqa: E402
from m3i_jax.augment import recipes  # noqa: E402
from m3i_jax.data.views.rand_augment import RandAugment  # noqa: E402
from m3i_jax.data.views.resizing import RESIZES, Box  # noqa: E402


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--batch", type=int, default=64, help="views at once (default 64)")
    add("--size", type=int, default=224, help="side of the views (default 224)")
    add("--rounds", type=int, default=5, help="to time (default 5)")
    add("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    cases = on_device(given.batch, given.size) | on_host(given.batch, given.size)
    for once in cases.values():
        once()
    times: dict[str, list[float]] = {name: [] for name in cases}
    clock = time.process_time if jax.default_backend() == "cpu" else time.perf_counter
    for _ in range(given.rounds):
        for name, once in cases.items():
            start = clock()
            once()
            times[name].append((clock() - start) / given.batch * 1e3)
    print(f"ms a view of {given.size}, batch {given.batch}, {jax.devices()[0].device_kind}")
    report = {}
    for name, spent in times.items():
        report[name] = statistics.median(spent)
        print(f"  {name:54s} {report[name]:8.3f} ({min(spent):.3f} to {max(spent):.3f})")
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def on_device(batch: int, size: int) -> dict[str, Callable[[], Any]]:
    """name -> one call of a compiled program, waited for."""
    key = jax.random.key(0)
    images = jax.random.uniform(jax.random.key(1), (batch, size, size, 3))
    quiet = dict(jitter=0.0, grayscale=0.0, blur=0.0)
    settings = {
        "jitter .8": dict(quiet, jitter=0.8),
        "blur 1": dict(quiet, blur=1.0),
        "blur .1, gated": dict(quiet, blur=0.1),
        "M3I's and SiameseIM's first view": dict(),
        "their second view: blur .1, solarize .2": dict(blur=0.1, solarize=0.2),
        "3-Augment": dict(exclusive=True, grayscale=1 / 3, blur=1 / 3, solarize=1 / 3),
        "erasing .25": dict(quiet, erasing=0.25),
        "RandAugment 9/.5 in the step, gated": dict(quiet, rand_augment={}),
    }
    programs = {name: partial(augment.photometric, **how) for name, how in settings.items()}
    programs["blur .1, all"] = ungated(partial(augment.photometric, **quiet | dict(blur=0.1)))
    programs["RandAugment in the step, all"] = ungated(augment.rand_augment)
    cases = {name: compiled(program, key, images) for name, program in programs.items()}
    cuts = jnp.zeros((batch, 2 * size, 2 * size, 3), jnp.uint8)
    boxes = jnp.tile(jnp.array([0, 0, 1.3 * size, 1.5 * size, 0, 0], jnp.float32), (batch, 1))
    views = partial(augment.views_of, interpolation="bicubic")
    return cases | {"resizing in the step": compiled(views, cuts, boxes)}


def ungated(program: Callable) -> Callable:
    """The program with every operation computed for every sample."""

    def all_of_them(key, images):
        gated = augment.operations.only, recipes.only

        def everywhere(chosen, fn, x, *arguments, by_rows):
            wanted = chosen.reshape(-1, *(1,) * (x.ndim - 1))
            return jnp.where(wanted, fn(x, *arguments), x)

        augment.operations.only = recipes.only = everywhere
        try:
            return program(key, images)
        finally:
            augment.operations.only, recipes.only = gated

    return all_of_them


def compiled(program: Callable, *arrays: Any) -> Callable[[], Any]:
    """One call, waited for."""
    run = jax.jit(program)
    return lambda: jax.block_until_ready(run(*arrays))


def on_host(batch: int, size: int) -> dict[str, Callable[[], Any]]:
    """The same by Pillow, view by view."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
    larger = rng.integers(0, 256, (int(1.3 * size), int(1.5 * size), 3), np.uint8)
    policy, exact = RandAugment(), RESIZES["exact"](larger)
    box = Box(0, 0, exact.width, exact.height)
    return {
        "RandAugment 9/.5 on the host": lambda: [policy(image, rng) for image in images],
        "resizing on the host": lambda: [
            exact.cut(box, size, "bicubic", mirrored=False) for _ in range(batch)
        ],
    }


if __name__ == "__main__":
    sys.exit(main())
