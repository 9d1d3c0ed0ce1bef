r"""Speed of one training step of any config, and of its torch equivalent beside it.

    python benchmarks/train_step.py --config configs/imagenet/mae_vit_b16.py --batch 4 --core 0
    python benchmarks/train_step.py --config configs/imagenet/mae_vit_b16.py --batch 4 --core 0 \
        --dtype float32 --vs hf --json mae.json

Needs jax, flax and optax only; `--vs` also torch, or torch and transformers. It runs on one
device, on a synthetic batch that is made once. Every round times the step, its peer and plain
matrix products one after the other, so that whatever else the machine does hits them alike.
docs/benchmarks.md says how to read the figures.
"""

import argparse
import ast
import importlib.util
import json
import os
import pathlib
import shlex
import statistics
import sys
import types
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints, and returns an exit status."""
    given = arguments(argv)
    if given.core is not None:
        os.sched_setaffinity(0, {given.core})  # before jax counts the cores for its threads
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    if importlib.util.find_spec("ml_collections") is None:
        sys.modules["ml_collections"] = stand_in()
    from m3i_jax.build import ConfigError
    from m3i_jax.commands import _memory as memory

    kept = not given.memory_back and memory.keep()
    try:
        report = measure(given) | {"memory_kept": kept}
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report["command"] = shlex.join(["benchmarks/train_step.py", *(argv or sys.argv[1:])])
    print(text(report))
    if given.json:
        pathlib.Path(given.json).write_text(json.dumps(report, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--config", default=str(ROOT / "configs/digit_scenes/m3i.py"), metavar="FILE[:ARG]")
    add("--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="repeatable")
    add("--batch", type=int, help="images per step, for config.batch")
    add("--dtype", choices=("float32", "bfloat16"), help="of products, for config.dtype")
    add("--steps", type=int, default=2, help="per round (default 2)")
    add("--rounds", type=int, default=5, help="to time (default 5)")
    add("--core", type=int, help="pin the process to this core: one thread for everything")
    add("--vs", choices=("torch", "compiled", "hf"), help="time the peer in the same rounds")
    add("--profile", type=int, metavar="N", help="also the N dearest operations of a step")
    add("--memory-back", action="store_true", help="do not keep a step's memory, as m3i does")
    add("--torch-dtype", choices=("float32", "bfloat16"), help="of the peer; default: ours")
    add("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    if min(given.steps, given.rounds) < 1:
        parser.error("--steps and --rounds are 1 or more")
    return given


def stand_in() -> types.ModuleType:
    """As much of ml_collections as configs use, for machines without it."""

    class ConfigDict(dict):
        """A dict whose keys are attributes too."""

        def __init__(self, given=()):
            super().__init__()
            for name, value in dict(given).items():
                self[name] = ConfigDict(value) if isinstance(value, dict) else value

        __getattr__, __setattr__, to_dict = dict.__getitem__, dict.__setitem__, dict.copy

    module = types.ModuleType("ml_collections")
    module.ConfigDict, module.config_flags = ConfigDict, None
    return module


def configure(given: argparse.Namespace) -> Any:
    """The config of the command line, as `Config`, for one device."""
    from m3i_jax import cli
    from m3i_jax.build import ConfigError
    from m3i_jax.training.config import Config

    data = cli.load(given.config).to_dict()
    for change in given.set:
        path, equals, value = change.partition("=")
        *blocks, last = path.removeprefix("config.").split(".")
        node = data
        for block in blocks:
            node = node.get(block) if isinstance(node, dict) else None
        if not equals or not isinstance(node, dict):
            raise ConfigError(f"--set {change}: expected BLOCK.KEY=VALUE, of a block of the config")
        try:
            node[last] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            node[last] = value  # a plain word
    for name in ("batch", "dtype"):
        if getattr(given, name) is not None:
            data[name] = getattr(given, name)
    data["mesh"] = {}
    data["epoch_size"] = data.get("epoch_size") or 1_000_000  # for lengths in epochs
    return Config.of(data)


def synthetic(run: Any) -> Any:
    """A batch of noise on the device: images, crops, categories and texts that the run accepts."""
    import jax
    import numpy as np

    from m3i_jax.parallel import sharding

    rng, config, shapes = np.random.default_rng(0), run.config, run.batch_shape()
    side, classes = config.image, config.towers.get("category", {}).get("size", 1)
    words = config.captions.get("vocabulary", 2)
    batch = shapes._replace(
        images={n: rng.integers(0, 256, x.shape, np.uint8) for n, x in shapes.images.items()},
        boxes={
            n: np.tile(np.float32([0, 0, side, side, 0, 2 * side]), (config.batch, 1))
            for n in shapes.boxes
        },
        label=rng.integers(0, classes, shapes.label.shape, np.int32),
        text=shapes.text and rng.integers(1, words, shapes.text.shape, np.int32),
    )
    return jax.block_until_ready(sharding.put(batch, run.mesh))


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Runs everything; the figures as JSON-able data."""
    import jax
    import peers
    import timing

    from m3i_jax.training.assemble import assemble
    from m3i_jax.training.planning import flops

    load, device = os.getloadavg(), jax.devices()[0]
    jax.config.update("jax_enable_compilation_cache", False)  # or there is no time to compile
    config, cpu = configure(given), device.platform == "cpu"
    if given.vs:
        peers.check_installed(given.vs)
        peers.check_row(config)
        config = peers.comparable(config)
    run = assemble(config, images=config.epoch_size, devices=[device])
    batch = synthetic(run)
    step = timing.Step(run, batch)
    step(1)
    counted = flops.per_image(run)  # afterwards: it would have traced the step already
    report = {
        "config": given.config,
        "changes": given.set + ["what the peer lacks is left out"] * bool(given.vs),
        "batch": config.batch,
        "dtype": config.dtype,
        "rounds": given.rounds,
        "steps": given.steps,
        "machine": timing.machine(device),
        "versions": {n: importlib.import_module(n).__version__ for n in ("jax", "flax", "optax")},
        "clock": "cpu" if cpu else "wall",
        "flops_per_image": counted._asdict(),
        "seconds": step.seconds,
        "memory_mib": timing.memory(step, device),  # before there is a peer
    }
    images = given.steps * config.batch
    cases = {"step": timing.Case(lambda: step(given.steps), images)}
    if given.vs:
        dtype, on = given.torch_dtype or config.dtype, "cpu" if cpu else "cuda"
        peer = peers.build(given.vs, config, dtype=dtype, threads=timing.cores(), device=on)
        cases["peer"] = timing.Case(
            lambda: float([peer.step() for _ in range(given.steps)][-1]), images
        )
        report["peer"] = {"dtype": dtype, **peer._replace(step=None)._asdict()}
    products = timing.products(config.dtype, cpu=cpu)
    rates = timing.interleaved(cases | products, rounds=given.rounds)
    report |= figures(rates, list(products), counted.model)
    report["host_ms_per_call"] = {
        "empty": 1e3 * timing.empty_call(run, batch),
        "step": 1e3 * statistics.median(step.calls[1:]),
        "leaves": len(step.leaves),
    }
    if given.profile:
        report["operations"] = timing.dearest(step, given.profile)
    return report | {"load": {"before": load, "after": os.getloadavg()}}


def figures(rates: dict[str, Any], products: Sequence[str], flops: float) -> dict[str, Any]:
    """Rates and their ratios, each by the clock and by processor time."""
    import timing

    step, ceiling = rates["step"], timing.best({name: rates[name] for name in products})
    work = step.times(flops)
    found = {
        "images_per_second": step,
        "model_flops_per_second": work,
        "ceiling_flops_per_second": ceiling,
        "share_of_ceiling": work.over(ceiling),
        **{f"product {name}": rates[name] for name in products},
    }
    if "peer" in rates:
        found["peer_images_per_second"] = rates["peer"]
        found["ratio_to_peer"] = step.over(rates["peer"])
    return {name: value.spread() for name, value in found.items()}


def text(report: dict[str, Any]) -> str:
    """The report for people; processor time on a CPU, the clock elsewhere."""
    clock = report["clock"]

    def row(label: str, name: str, scale: float = 1.0, unit: str = "") -> str:
        middle, least, most = (scale * v for v in report[name][clock].values())
        return f"{label:<22} {middle:>9.3f}   ({least:.3f} to {most:.3f}){unit}"

    host, seconds, peak = (report[n] for n in ("host_ms_per_call", "seconds", "memory_mib"))
    wall, count = report["images_per_second"]["wall"], report["flops_per_image"]
    lines = [
        f"{report['config']} {' '.join(report['changes'])}",
        f"batch {report['batch']}, {report['dtype']}; {report['machine']}; "
        + ", ".join(f"{n} {v}" for n, v in report["versions"].items()),
        f"load {report['load']['before'][0]:.1f} before, {report['load']['after'][0]:.1f} after; "
        f"median (range) of {report['rounds']} rounds of {report['steps']} steps, "
        + ("per second of processor time" if clock == "cpu" else "by the clock"),
        row("images/s", "images_per_second"),
        f"{'images/s by the clock':<22} {wall['median']:>9.3f}"
        f"   ({wall['min']:.3f} to {wall['max']:.3f})",
        f"{'model GFLOP per image':<22} {count['model'] / 1e9:>9.3f}"
        f"   ({count['executed'] / 1e9:.3f} with augmentation and recomputation)",
        row("GFLOP/s", "model_flops_per_second", 1e-9),
        row("GFLOP/s of products", "ceiling_flops_per_second", 1e-9),
        row("share of that", "share_of_ceiling", 100, " %"),
        f"{'seconds to trace':<22} {seconds['trace'][clock]:>9.1f}   "
        f"and {seconds['compile'][clock]:.1f} to compile",
        f"{'host per call':<22} {host['empty']:>9.3f} ms with nothing to compute "
        f"({host['leaves']} leaves); {host['step']:.3f} ms in front of the step",
        "peak MiB               "
        + ", ".join(f"{name} {v:.0f}" for name, v in peak.items())
        + ("; what a step has had is kept" if report["memory_kept"] else ""),
    ]
    if "peer" in report:
        peer = report["peer"]
        versions = ", ".join(f"{n} {v}" for n, v in peer["versions"].items())
        lines.append(f"peer: {peer['name']} {peer['dtype']} ({versions})")
        lines.append(row("its images/s", "peer_images_per_second"))
        lines.append(row("ours over its", "ratio_to_peer"))
    lines += ["{ms:9.2f} ms {times:5.0f} x  {name}".format(**row) for row in report["operations"]] \
        if "operations" in report else []  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
