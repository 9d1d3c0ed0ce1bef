"""What each policy of recomputation keeps and costs, by formula: `remat` of all blocks; a table.

    python benchmarks/remat.py > table.md

Attention is that which keeps no weights, as accelerators do it. Nothing is compiled or run.
"""

import argparse

import jax

from m3i_jax import cli
from m3i_jax.nn.blocks import REMAT
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate, peaks
from m3i_jax.training.planning.estimate import Layout

CONFIGS = ("imagenet/mae_vit_b16", "imagenet/m3i_vit_b16")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS))
    parser.add_argument("--chip", default="v5e", choices=peaks.NAMES)
    parser.add_argument("--devices", type=int, default=8, help="data parallel")
    parser.add_argument("--images", type=int, default=64, help="of a chip at once")
    given = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    chip, batch = peaks.chip(peaks.NAMES[given.chip]), given.images * given.devices
    print("| config | `remat` | kept, MiB an image | GFLOP an image | memory, GiB | bound, ms |")
    print("|---" * 6 + "|")
    for name in given.configs:
        config = Config.of(cli.load(name).to_dict() | {"batch": batch})
        for policy in REMAT:
            run = estimate.traced(config, remat=policy)
            needs = estimate.needs(run, Layout(given.devices), fused=chip.fused)
            times = needs.seconds(chip, config.dtype)
            cells = (
                f"{run.kept / 2**20:.1f}",
                f"{run.products / 1e9:.1f}",
                f"{needs.peak / 2**30:.2f}",
                f"{1e3 * max(times.values()):.1f}, {max(times, key=times.get)}",
            )
            print(f"| {name} | {policy} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
