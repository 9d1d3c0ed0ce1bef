"""Published configs on TPUs, by formula: a mesh that fits, its memory, its bound, hours; a table.

    python benchmarks/plans.py > table.md

The counts of chips are given by --chips; a config that does not fit them as it is gets the first
change that makes it, as `m3i plan --accelerator` proposes it. What no such change makes fit has
counts and a batch of its own. Nothing is compiled or run.
"""

import argparse
import sys
from collections.abc import Sequence

import jax

from m3i_jax import cli, shipped
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate, peaks
from m3i_jax.training.planning.remedies import fitting

FOLDERS = ("imagenet/", "mixture/", "yfcc/")
CHIPS = ("v5e:256", "v5p:64", "v6e:64")

# Counts of chips, and what of the config is changed: a batch of 40 000 divides over 64 chips and no
# larger power of two.
OWN = {
    "mixture/m3i_internimage_h": (("v5e:512", "v5p:128", "v6e:256"), {"batch": 40_960}),
}


def row(name: str, chips: Sequence[str]) -> str:
    """The cells of one config."""
    counts, changes = OWN.get(name, ((), {}))
    own = dict(text.split(":") for text in counts)
    config = Config.of(cli.load(name).to_dict() | changes)
    known = {None: estimate.traced(config)}
    cells = [name]

    def trace(remat):
        if remat not in known:
            known[remat] = estimate.traced(config, remat=remat)
        return known[remat]

    for text in chips:
        kind, asked = text.split(":")
        count = own.get(kind, asked)
        chip = peaks.chip(peaks.NAMES[kind])
        found = fitting(config, int(count), chip, trace=trace)
        if found is None:
            cells.append("nothing that was tried fits")
            continue
        run, layout = trace(found.remat), found.layout
        times = found.needs.seconds(chip, config.dtype)
        share = 100 * times["products"] / max(times.values())
        hours = run.steps * max(times.values()) / 3600
        rows = config.batch // (layout.data * layout.fsdp * layout.accumulate)
        flags = [f"{key}={value}" for key, value in changes.items()]
        flags += [flag.removeprefix("--config.") for flag in found.flags]
        size = f"{found.needs.peak / 2**30:.1f} GiB of {chip.memory / 2**30:.0f}"
        more = f"{count} chips, " if count != asked else ""
        cells.append(
            f"{more}{rows} a chip, {' '.join(flags) or 'as it is'}: {size}, {share:.0f} %, "
            f"{hours:.3g} h"
        )
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", nargs="+", default=list(CHIPS))
    parser.add_argument("--configs", nargs="+", default=None)
    given = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    names = given.configs or [n for n in shipped.names() if n.startswith(FOLDERS)]
    print("| config | " + " | ".join(given.chips) + " |")
    print("|---" * (1 + len(given.chips)) + "|")
    for name in names:
        try:
            print(row(name, given.chips), flush=True)
        except Exception as error:  # noqa: BLE001, one config of many
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
