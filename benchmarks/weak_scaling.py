"""Weak scaling by formula: what a step costs as chips are added, each with as many images.

    python benchmarks/weak_scaling.py > table.md

What does not overlap adds up: a step takes the longer of products and traffic, and then its links.
The last column of a layout is the rate of a chip beside that on the first count. Bytes, not hops:
the time that a message takes to set out is left out. Nothing is compiled or run.
"""

import argparse

import jax

from m3i_jax import cli
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate, peaks
from m3i_jax.training.planning.estimate import Layout, Traced

CONFIGS = ("imagenet/mae_vit_b16", "imagenet/m3i_vit_b16")
LAYOUTS = {
    "data": lambda n: Layout(n),
    "data, zero1": lambda n: Layout(n, zero1=True),
    "data x fsdp 8": lambda n: Layout(n // 8, 8),
    "fsdp": lambda n: Layout(1, n),
}


def cell(run: Traced, layout: Layout, kind: str, images: int) -> tuple[str, float]:
    """What a chip sends and how long that is in a step, and the least seconds of the step."""
    chip, count = peaks.chip(peaks.NAMES[kind]), layout.data * layout.fsdp
    needs = estimate.needs(run._replace(batch=images * count), layout)
    times = needs.seconds(chip, run.dtype)
    share = 100 * estimate.waiting(times)
    seconds = max(times["products"], times["traffic"]) + times["links"]
    return f"{needs.sent / 1e9:.3f} GB, {share:.1f} %", seconds


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS))
    parser.add_argument("--chips", nargs="+", default=["v5e", "v5p", "v6e"])
    parser.add_argument("--counts", nargs="+", type=int, default=[8, 64, 256])
    parser.add_argument("--images", type=int, default=64, help="of a chip at once")
    given = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    heads = [f"{n}" if n == given.counts[0] else f"{n} | rate" for n in given.counts]
    print("| config | layout | chip | " + " | ".join(heads) + " |")
    print("|---" * (2 + 2 * len(given.counts)) + "|")
    for name in given.configs:
        batch = {"batch": given.images * given.counts[0]}
        run = estimate.traced(Config.of(cli.load(name).to_dict() | batch))
        for label, layout in LAYOUTS.items():
            for kind in given.chips:
                found = [cell(run, layout(n), kind, given.images) for n in given.counts]
                first = found[0][1]
                cells = [found[0][0], *(f"{w} | {100 * first / t:.1f} %" for w, t in found[1:])]
                print(f"| {name} | {label} | {kind} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
