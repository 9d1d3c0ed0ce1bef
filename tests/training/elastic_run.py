"""One start of a run with a queue, a centre and an average, and what it was made of.

    python elastic_run.py WORKDIR RECORD LAST MESH [COORDINATOR COUNT PROCESS]

Ends behind step LAST on the devices that it finds. RECORD gets the SHA-256 of every array of the
state that it starts from, and of every step the records, the SHA-256 of the batch, and the loss.
"""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from m3i_jax import cli, trees
from m3i_jax.data import batches
from m3i_jax.parallel import processes
from m3i_jax.training import session
from m3i_jax.training.assemble import check
from m3i_jax.training.config import Config

STEPS = 8
EMA = dict(name="ema", momentum=0.98, end=1.0)
METHODS = dict(
    dino=dict(
        name="dino", local=0, centring=True, target=dict(EMA, heads=("projector", "prototypes"))
    ),
    moco=dict(name="moco", size=32, temperature=0.2, target=dict(EMA, heads="projector")),
)


def config(mesh):
    """A config small enough for a test, large enough for fsdp to split something."""
    told = cli.load("digit_scenes/moco").to_dict()
    told |= dict(image=16, batch=8, duration=f"{STEPS} steps", warmup="2 steps", mesh=mesh)
    told |= dict(objective=dict(name="combine", methods=METHODS), target={}, threads=1)
    told["encoder"] |= dict(width=64, depth=1, heads=2)
    told["decoders"]["projector"] |= dict(hidden=32, out=16, layers=2)
    told["decoders"]["prototypes"] = dict(name="prototypes", out=64, input="projector")
    told["data"]["length"] = 30
    told |= dict(log=dict(every=1, images=0, report=False, to=()), monitor=dict(every=0))
    return Config.of(told | dict(checkpoint=dict(every=100)))


def digest(tree):
    """{path: SHA-256} of whole arrays, whichever process has which part."""

    def whole(leaf):
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        split = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True) if split else leaf)

    known = {path: whole(leaf) for path, leaf in trees.named_leaves(tree)}
    return {path: hashlib.sha256(leaf.tobytes()).hexdigest() for path, leaf in known.items()}


def watched(record, last):
    """Hooks that write what a run is made of, and end it."""

    def write(row):
        if not jax.process_index():
            with record.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def watch(context):
        of, seed = context.inputs, context.run.config.seed
        write(digest(context.start.items()))

        def after(info):
            how = dict(batch=context.run.config.batch, seed=seed, repeats=of.crops.repeats)
            records = batches.records(of.source, **how, behind=info.position)
            pixels = digest(info.batch._asdict())
            loss = float(info.metrics["train/loss"])
            write(dict(step=info.step, records=records, batch=pixels, loss=loss))
            context.wishes.end = info.step >= last

        return [after]

    return watch


def main(workdir, record, last, mesh, coordinator="", count="1", process="0"):
    """The run."""
    if coordinator:
        numbers = dict(processes=int(count), process=int(process))
        processes.join(coordinator=coordinator, **numbers, patience=120)
    parts = check(config(json.loads(mesh)))
    session.start(parts, workdir, watch=watched(Path(record), int(last)))


if __name__ == "__main__":
    cli.run(lambda *words: main(*words), words=True)
