r"""Cost of CIM's sliding-window target in the step that predicts it.

    python benchmarks/window_target.py --batch 2 --core 0 --set towers.tokenizer.width=32 \
        --set decoders.painter.width=32
    python benchmarks/window_target.py --config configs/digit_scenes/cim.py --core 0

Every round times the step with target "window", the same with target "raw", and the normalisation
by itself, one after the other. A step on a shared machine is not known to a percent, so that the
third says more than what the first takes longer than the second. A tokenizer as narrow as that of
the first command is next to nothing beside the published one: the share is the larger for it.
"""

import argparse
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEAST = 0.1  # seconds that one measurement of the normalisation takes at least


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    given = arguments(argv)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})  # before jax counts the cores for its threads
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    from m3i_jax.build import ConfigError

    try:
        report = measure(given)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(text(report))
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config", default=str(ROOT / "configs/imagenet/cim_vit_b16.py"), metavar="FILE[:ARG]")
    add("--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="repeatable")
    add("--batch", type=int, help="images per step, for config.batch")
    add("--dtype", choices=("float32", "bfloat16"), help="of products, for config.dtype")
    add("--rounds", type=int, default=9, help="to time (default 9)")
    add("--core", type=int, help="pin the process to this core: one thread for everything")
    add("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    if given.rounds < 1:
        parser.error("--rounds is 1 or more")
    return given


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of both steps and of the normalisation, and its share, as JSON-able data."""
    import jax
    import timing
    import train_step

    load, device = os.getloadavg(), jax.devices()[0]
    config, cases, state = train_step.configure(given), {}, []
    for name in ("window", "raw"):
        cases[name], batch = step(config, name, state, device)
    alone, repeats = normalisation(batch.images["a"])
    cases["alone"] = alone
    timed = {name: timing.Case(once, 1.0) for name, once in cases.items()}
    timed["alone"] = timed["alone"]._replace(work=repeats)
    rates = timing.interleaved(timed, rounds=given.rounds)
    found = {name: timing.Rates(*(1e3 / x for x in rate)) for name, rate in rates.items()}
    found["slowdown"] = found["window"].over(found["raw"])
    found["share"] = found["alone"].over(found["window"])
    return {
        "config": given.config,
        "changes": given.set,
        "batch": config.batch,
        "image": config.image,
        "dtype": config.dtype,
        "rounds": given.rounds,
        "machine": timing.machine(device),
        "clock": "cpu" if device.platform == "cpu" else "wall",
        "jax": jax.__version__,
        **{name: value.spread() for name, value in found.items()},
        "load": {"before": load, "after": os.getloadavg()},
    }


def step(config: Any, target: str, state: list, device: Any) -> tuple[Callable[[], None], Any]:
    """A compiled step on a batch of noise, and that batch.

    state: leaves of a training state, empty before the first call. A target has no parameters, so
    that steps that differ in theirs go on from one another, and there is one state in memory.
    """
    from dataclasses import replace

    import jax
    import train_step

    from m3i_jax.training.assemble import assemble

    block = dict(name="pixels", normalization=target)
    run = assemble(replace(config, target=block), images=config.epoch_size, devices=[device])
    batch = train_step.synthetic(run)
    with jax.set_mesh(run.mesh):
        step = run.compiled()
        advance = step.of(step.trace(jax.tree.leaves(run.abstract), batch).lower().compile())
    state[:] = state or jax.tree.leaves(run.create())

    def once():
        state[:], metrics = advance(state, batch)
        float(metrics["train/loss"])

    return once, batch


def normalisation(images: Any) -> tuple[Callable[[], None], int]:
    """The target's normalisation as often as makes a tenth of a second, and how often that is."""
    import jax

    from m3i_jax import normalize

    window = jax.jit(normalize.sliding_window)
    pixels = normalize.channels(images / 255.0)
    for _ in range(2):
        before = time.perf_counter()
        window(pixels).block_until_ready()
    repeats = math.ceil(LEAST / max(1e-6, time.perf_counter() - before))

    def once():
        jax.block_until_ready([window(pixels) for _ in range(repeats)][-1])

    return once, repeats


def text(report: dict[str, Any]) -> str:
    """The report for people; processor time on a CPU, the clock elsewhere."""

    def row(label: str, name: str, scale: float, unit: str) -> str:
        middle, least, most = (scale * x for x in report[name][report["clock"]].values())
        return f"{label:<24} {middle:>10.3f}   ({least:.3f} to {most:.3f}) {unit}"

    return "\n".join(
        [
            f"{report['config']} {' '.join(report['changes'])}",
            f"batch {report['batch']}, {report['image']} pixels, {report['dtype']}; "
            f"{report['machine']}; jax {report['jax']}",
            f"load {report['load']['before'][0]:.1f} before, {report['load']['after'][0]:.1f} "
            f"after; median (range) of {report['rounds']} rounds, "
            + ("processor time" if report["clock"] == "cpu" else "by the clock"),
            row("step, target 'window'", "window", 1.0, "ms"),
            row("step, target 'raw'", "raw", 1.0, "ms"),
            row("window over raw", "slowdown", 1.0, ""),
            row("normalisation alone", "alone", 1.0, "ms"),
            row("its share of the step", "share", 100.0, "%"),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
