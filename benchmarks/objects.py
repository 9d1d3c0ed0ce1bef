r"""Seconds of an image for heads of objects, found and learned, and of their equivalents in torch.

    python benchmarks/objects.py --head mask_rcnn --core 0
    python benchmarks/objects.py --head mask2former --core 0 --image 256 --rounds 5 --json it.json

Both sides have a ResNet-50 whose norms are of the batch, random weights and images of noise with
eight objects each. "found" is a pass from images to what is found, "learned" a step: forward,
backward, clipping and AdamW. Our step is the engine's own, from uint8. Every round times all, one
after the other. `mask_rcnn` has torchvision's as its peer, the others have transformers'
(`torch_objects.py`); a peer that is not installed is left out.
"""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
OBJECTS, SIDE = 8, 28  # of an image, and of their masks in their own frames
# What differs from the defaults is that of the peers: their heads are the published ones.
HEADS = {
    "mask_rcnn": dict(
        objective=dict(name="mask_rcnn", classes=80, blocks="stages"),
        decoders=dict(
            detection=dict(
                name="mask_rcnn", pyramid="fpn", norm="none", proposal_layers=1, box_layers=0
            )
        ),
    ),
    "mask2former": dict(
        objective=dict(name="mask2former", classes=80, finds="objects"),
        decoders=dict(segmentation=dict(name="mask2former", finds="objects")),
    ),
    "dino_detector": dict(
        objective=dict(name="dino_detector", classes=80),
        decoders=dict(detection=dict(name="dino_detector", queries=300, hidden=1024)),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    given = arguments(argv)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})  # before jax counts the cores for its threads
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    import jax
    import timing
    import torch_objects

    from m3i_jax.commands import _memory as memory

    memory.keep()
    jax.config.update("jax_enable_compilation_cache", False)
    load = os.getloadavg()[0]
    run = assembled(given)
    cases, sizes = ours(run, given.batch), {"ours": parameters(run)}
    peer = torch_objects.peer(given.head, given.batch, given.image, OBJECTS, timing.cores())
    if peer is None:
        print(f"no peer: {given.head}'s is not installed here")
    else:
        cases |= {f"{name}, peer": once for name, once in peer.cases.items()}
        sizes["peer"] = peer.parameters
    timed = {name: timing.Case(once, given.batch) for name, once in cases.items()}
    rates = timing.interleaved(timed, rounds=given.rounds)
    device = jax.devices()[0]
    clock = "cpu" if device.platform == "cpu" else "wall"
    figures = {name: rate.spread()[clock] for name, rate in rates.items()}
    for name in ("found", "learned"):
        if peer is not None:
            ratio = rates[name].over(rates[f"{name}, peer"])
            figures[f"{name}, ours over the peer's"] = ratio.spread()[clock]
    print(f"{given.head}: {given.batch} images of {given.image}, float32; {timing.machine(device)}")
    print(f"jax {jax.__version__}{'' if peer is None else ', ' + peer.versions}; load {load:.1f}")
    print("parameters: " + ", ".join(f"{name} {count:,}" for name, count in sizes.items()))
    print(f"images a second of {'processor time' if clock == 'cpu' else 'the clock'}, and ratios")
    for name, of in figures.items():
        print(f"{name:<32} {of['median']:8.3f}   ({of['min']:.3f} to {of['max']:.3f})")
    if given.json:
        report = dict(head=given.head, parameters=sizes, figures=figures, load=load)
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--head", choices=tuple(HEADS), required=True)
    add("--image", type=int, default=320, help="side in pixels (default 320)")
    add("--batch", type=int, default=2, help="images (default 2)")
    add("--rounds", type=int, default=5, help="to time (default 5)")
    add("--core", type=int, help="pin the process to this core: one thread for everything")
    add("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    if min(given.batch, given.rounds) < 1:
        parser.error("--batch and --rounds are 1 or more")
    if given.image < 192 or given.image % 64:
        parser.error(f"--image {given.image}: expected 192 or more, a multiple of 64")
    return given


def assembled(given: argparse.Namespace) -> Any:
    """A run of the head on a ResNet-50, on one device."""
    import jax

    from m3i_jax import cli
    from m3i_jax.training.assemble import assemble
    from m3i_jax.training.config import Config

    data = cli.load(str(ROOT / "configs/finetune/coco_dino_resnet50.py")).to_dict()
    data |= HEADS[given.head]
    data |= dict(image=given.image, batch=given.batch, dtype="float32", mesh={}, init_from={})
    data["crops"] |= dict(base=(given.image, given.image), objects=OBJECTS, outlines=SIDE)
    return assemble(Config.of(data), images=data["epoch_size"], devices=jax.devices()[:1])


def ours(run: Any, batch: int) -> dict[str, Callable[[], Any]]:
    """What is timed of the engine: a pass and a step."""
    import jax
    import timing

    from m3i_jax import normalize
    from m3i_jax.evaluation.dense import predictor

    data = synthetic(run, batch)
    step = timing.Step(run, data)
    state = run.create()
    made = predictor.of_method(run.method, run.network, state.params, "objects")
    view = data.images["a"]
    find = jax.jit(lambda params, x: made.said(params, normalize.levels(x)))
    return {
        "found": lambda: jax.block_until_ready(find(state.params, view)),
        "learned": lambda: step(1),
    }


def synthetic(run: Any, batch: int) -> Any:
    """Images of noise, with objects of all sizes."""
    import jax
    import numpy as np

    from m3i_jax.parallel import sharding
    from m3i_jax.types import Objects

    shapes, rng, side = run.batch_shape(), np.random.default_rng(0), run.config.image
    ends = np.sort(rng.uniform(0, side, (batch, OBJECTS, 2, 2)), axis=2)
    masks = rng.integers(0, 2, (batch, OBJECTS, SIDE, SIDE), np.uint8)
    objects = Objects(
        ends.reshape(batch, OBJECTS, 4).astype(np.float32),
        rng.integers(0, 80, (batch, OBJECTS), np.int32),
        masks if run.method.outlined else None,
        extent=np.full((batch, 2), side, np.float32),
    )
    said = shapes.annotations["a"]._replace(
        objects=objects, present={"objects": np.ones(batch, bool)}
    )
    views = shapes.boxes
    views = shapes.boxes
    made = shapes._replace(
        images={n: rng.integers(0, 256, x.shape, np.uint8) for n, x in shapes.images.items()},
        boxes={n: np.tile(np.float32([0, 0, side, side, 0, side]), (batch, 1)) for n in views},
        label=np.zeros(batch, np.int32),
        annotations={"a": said},
    )
    return jax.block_until_ready(sharding.put(made, run.mesh))


def parameters(run: Any) -> int:
    """How many are trained."""
    import jax

    return sum(x.size for x in jax.tree.leaves(run.abstract.params))


if __name__ == "__main__":
    sys.exit(main())
