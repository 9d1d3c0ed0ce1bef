r"""All that is to be known of an accelerator, in one call of at most ten minutes.

    python benchmarks/accelerator.py --json gpu.json
    python benchmarks/accelerator.py --only vit_b,mae --minutes 4
    python benchmarks/accelerator.py --minutes 30                       # a machine that others use
    JAX_PLATFORMS=cpu python benchmarks/accelerator.py --toy            # the same parts, tiny

Steps of several methods with the share of the measured products' rate and memory, two of them
beside torch.compile, fused AdamW and torch's own attention, where torch and its GPU are there;
DCNv3 beside grid_sample; whether a run taken up again is the same to the bit; the dearest
operations of the step with the lowest share. Every part is a process of its own with a time of its
own, so that none ends the others; figures are written behind each, the table comes last.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs"
MINUTES = 10.0
LEAST = 15.0  # seconds that a part is begun with
PROFILED = 15  # operations
TOY = (
    "--set=image=16", "--set=encoder={'name':'vit_nano','patch':8,'width':32,'depth':1,'heads':2}",
    "--dtype=float32", "--batch=4", "--steps=1", "--rounds=2",
)  # fmt: skip
INTERNIMAGE = (
    "--set=encoder={'name':'internimage_t'}",
    "--set=decoders={'category': {'name': 'linear'}}",
)


class Part(NamedTuple):
    """A benchmark beside this file, its words here and at toy size, and its seconds at most."""

    program: str
    words: tuple[str, ...]
    toy: tuple[str, ...]
    seconds: float


def step(config: str, batch: int, *words: str, seconds: float, toy: str, small=()) -> Part:
    """A step of a published config, and of the toy one of the same method."""
    sizes = ("--dtype=bfloat16", f"--batch={batch}", "--steps=5", "--rounds=3")
    config, toy = (f"--config={CONFIGS / name}" for name in (f"{config}.py", toy))
    return Part("train_step", (config, *sizes, *words), (toy, *TOY, *small), seconds)


BESIDE = "--vs=compiled"
PARTS = {
    "vit_b": step("imagenet/classification_vit_b16", 256, BESIDE, seconds=110,
                  toy="digit_scenes/classification.py", small=(BESIDE,)),
    "mae": step("imagenet/mae_vit_b16", 512, BESIDE, seconds=110, toy="digit_scenes/mae.py",
                small=("--set=decoders.image={'name':'infill','width':32,'depth':1,'heads':2}",
                       BESIDE)),
    "m3i": step("imagenet/m3i_vit_b16", 128, seconds=100, toy="digit_scenes/m3i.py:images"),
    "dino": step("imagenet/dino_vit_s16", 64, seconds=80, toy="digit_scenes/dino.py"),
    "internimage": step("imagenet/classification_vit_b16", 128, *INTERNIMAGE, seconds=90,
                        toy="digit_scenes/classification.py"),
    "dcnv3": Part("dcnv3", ("--batch=64", "--dtype=bfloat16", "--rounds=5"),
                  ("--batch=1", "--rounds=1"), 60),
    "resumed": Part("resumed", (), (
        "--set=batch=8", "--set=encoder.depth=1", "--set=encoder.width=32", "--set=encoder.heads=2",
        "--set=decoders.image.width=32", "--set=decoders.image.heads=2"), 100),
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and returns 0 where every part came to its end."""
    given = arguments(argv)
    names = given.only.split(",") if given.only else list(PARTS)
    end, found = time.monotonic() + 60 * given.minutes, {}
    parts = {name: longer(part, given.minutes) for name, part in PARTS.items()}
    for name in names:
        found[name] = one(parts[name], given.toy, end)
        written(given.json, found)
        print(f"{name}: {found[name]['status']}, {found[name]['seconds']:.0f} s", flush=True)
    if worst := lowest(found):
        found["profile"] = one(profiled(parts[worst]), given.toy, end) | {"of": worst}
        written(given.json, found)
    print(table(found))
    return int(any(part["status"] != "done" for part in found.values()))


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PART,PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of all parts (default 10)")
    parser.add_argument("--toy", action="store_true", help="tiny, for a processor")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    given = parser.parse_args(argv)
    if unknown := set((given.only or "mae").split(",")) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return given


def one(part: Part, toy: bool, end: float, *, run: Callable = subprocess.run) -> dict[str, Any]:
    """Runs a part within its time and what is left of all; what it reports, or why it does not.

    A peer that is not there is left out, and the part run without it.
    """
    start = time.monotonic()
    words = part.toy if toy else part.words
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "figures.json")
        status = _status(part, (*words, f"--json={file}"), end, run)
        if BESIDE in words and "not installed" in status:
            alone = tuple(word for word in words if word != BESIDE)
            status = _status(part, (*alone, f"--json={file}"), end, run)
        report = json.loads(file.read_text()) if file.is_file() else None
    return {"status": status, "seconds": time.monotonic() - start, "report": report}


def _status(part, words, end, run):
    """ "done", or in a line why not."""
    seconds = min(part.seconds, end - time.monotonic())
    if seconds < LEAST:
        return "no time was left"
    # Beside torch, JAX is not to take three quarters of the memory in advance.
    own = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, str(HERE / f"{part.program}.py"), *words]
    try:
        done = run(command, capture_output=True, text=True, timeout=seconds, env=own)
    except subprocess.TimeoutExpired:
        return f"not done in {seconds:.0f} s"
    if not done.returncode:
        return "done"
    lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines() or ["no word"]
    return f"ended with {done.returncode}: {lines[-1][:200]}"


def longer(part: Part, minutes: float) -> Part:
    """The same part, with its share of more minutes than there are by default."""
    return part._replace(seconds=part.seconds * max(1.0, minutes / MINUTES))


def profiled(part: Part) -> Part:
    """The same step without a peer, and its dearest operations."""
    words, toy = (
        (*(word for word in given if word != BESIDE), f"--profile={PROFILED}", "--rounds=1")
        for given in (part.words, part.toy)
    )
    return part._replace(words=words, toy=toy)


def lowest(found: dict[str, Any]) -> str | None:
    """The step whose share of the products' rate is the lowest."""
    shares = {
        name: part["report"]["share_of_ceiling"]["wall"]["median"]
        for name, part in found.items()
        if part["status"] == "done" and "share_of_ceiling" in part["report"]
    }
    return min(shares, key=shares.__getitem__) if shares else None


def written(file: str | None, found: dict[str, Any]) -> None:
    """The figures so far."""
    if file:
        pathlib.Path(file).write_text(json.dumps(found, indent=2) + "\n")


def table(found: dict[str, Any]) -> str:
    """Markdown of everything."""
    lines = ["", "| step | images/s | share of products | TFLOP/s of products | peak GiB | "
             "torch.compile, images/s | ratio |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    rest = []
    for name, part in found.items():
        report = part["report"]
        if part["status"] != "done":
            rest.append(f"{name}: {part['status']}")
        elif name == "profile":
            rest.append(f"dearest operations of {part['of']}, ms of a step:")
            rest += [
                "    {ms:8.3f}  {times:4.0f} x  {name}".format(**r) for r in report["operations"]
            ]
        elif "images_per_second" in report:
            lines.append(_row(name, report))
        elif name == "dcnv3":
            rest += [_stage(stage) for stage in report]
        else:
            same = "the same" if report["same"] else "NOT the same"
            rest.append(f"a run taken up again is {same}: {report['equal']} of {report['arrays']} "
                        "arrays to the bit")  # fmt: skip
    machine = next((p["report"]["machine"] for p in found.values()
                    if isinstance(p["report"], dict) and "machine" in p["report"]), "")  # fmt: skip
    return "\n".join([machine, *lines, "", *rest])


def _row(name, report):
    """A step as a row of the table."""
    wall = lambda key: report[key]["wall"]["median"] if key in report else None  # noqa: E731
    memory = report["memory_mib"]
    peak = memory.get("device", memory["arguments"] + memory["temporary"]) / 1024
    cells = [f"{name}, batch {report['batch']}, {report['dtype']}",
             f"{wall('images_per_second'):.1f}", f"{100 * wall('share_of_ceiling'):.0f} %",
             f"{wall('ceiling_flops_per_second') / 1e12:.3g}", f"{peak:.2f}"]  # fmt: skip
    peer = wall("peer_images_per_second")
    cells += [f"{peer:.1f}", f"{wall('ratio_to_peer'):.2f}"] if peer else ["", ""]
    return f"| {' | '.join(cells)} |"


def _stage(stage):
    """A line of DCNv3's figures."""
    text = "DCNv3 {batch}x{side}x{side}x{channels}: ".format(**stage)
    text += f"{stage['ours']['wall']['median']:.2f} ms"
    if "ratio" in stage:
        text += f", {stage['ratio']['wall']['median']:.2f} times as fast as grid_sample"
    return text


if __name__ == "__main__":
    sys.exit(main())
