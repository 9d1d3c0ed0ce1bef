r"""Whether a run that is taken up again is, to the bit, the run that was never left.

    python benchmarks/resumed.py --config digit_scenes/mae --json resumed.json

A run of 8 steps, with a checkpoint behind every fourth; then its copy without what came behind the
fourth, which goes on in a process of its own, where a compiler may choose otherwise. All arrays of
the last checkpoints are compared, and the losses of the steps.
"""

import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS, BETWEEN = 8, 4
# On an accelerator sums are as they come unless these ask for the same order in every run.
FLAGS = "--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs twice, prints what differs, and returns 0 where nothing does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="digit_scenes/mae", metavar="NAME")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE")
    parser.add_argument("--json", metavar="FILE", help="also write what was found there")
    given = parser.parse_args(argv)
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as folder:
        found = compared(pathlib.Path(folder), given.config, given.set)
    print(f"{found['equal']} of {found['arrays']} arrays are the same to the bit; "
          f"losses {found['losses']}, taken up {found['taken up']}")  # fmt: skip
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(found, indent=2) + "\n")
    return int(not found["same"])


def compared(folder: pathlib.Path, config: str, changes: Sequence[str]) -> dict[str, Any]:
    """The figures of both runs."""
    whole, taken = folder / "whole", folder / "taken up"
    train(whole, config, changes)
    shutil.copytree(whole, taken)
    shutil.rmtree(taken / "checkpoints" / str(STEPS))
    train(taken, config, changes)
    one, other = (digests(run) for run in (whole, taken))
    lost = [losses(run) for run in (whole, taken)]
    equal = sum(other.get(name) == digest for name, digest in one.items())
    same = equal == len(one) == len(other) > 0 and lost[0] == lost[1]
    return {"same": same, "arrays": len(one), "equal": equal, "losses": lost[0],
            "taken up": lost[1]}  # fmt: skip


def train(folder: pathlib.Path, config: str, changes: Sequence[str]) -> None:
    """Trains in `folder`, or goes on there."""
    words = {"duration": f"{STEPS} steps", "warmup": "1 steps", "log.every": 1,
             "checkpoint.every": BETWEEN, "checkpoint.keep": STEPS // BETWEEN,
             "monitor.every": 0, "log.images": 0, "log.report": False}  # fmt: skip
    own = [f"--config.{name}={value}" for name, value in words.items()]
    gpu = os.environ.get("JAX_PLATFORMS", "").lower() != "cpu"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS if gpu else ''}".strip()
    subprocess.run(
        [sys.executable, "experiments/pretrain.py", f"--config={config}", f"--workdir={folder}",
         *own, *(f"--config.{change}" for change in changes)],
        check=True, cwd=ROOT, env=os.environ | {"XLA_FLAGS": flags}, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def digests(run: pathlib.Path) -> dict[str, str]:
    """One for each array of the last checkpoint."""
    from m3i_jax import trees
    from m3i_jax.checkpoints.checkpoint import Checkpoints

    kept, found = Checkpoints(run / "checkpoints", read_only=True), {}
    for item in ("online", "ema", "state"):
        for name, leaf in trees.named_leaves(kept.restore_item(STEPS, item)):
            found[f"{item}/{name}"] = hashlib.sha256(np.asarray(leaf).tobytes()).hexdigest()
    return found


def losses(run: pathlib.Path) -> list[float]:
    """Of the steps behind the checkpoint."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    by_step = {line["step"]: line["train/loss"] for line in lines if "train/loss" in line}
    return [by_step[step] for step in range(BETWEEN + 1, STEPS + 1)]


if __name__ == "__main__":
    sys.exit(main())
