"""Processes that are killed, stopped and asked to leave, in every phase of a run of many.

    python benchmarks/incidents.py --count 60 --processes 2 --out incidents.jsonl

A toy run (MoCo with its queue and average, parameters split over the processes) is hit by one
incident after the other, and given its command again each time. What has to hold: who survives is
gone within 30 s and names the process that was hit; who was asked to leave has saved; and every
loss and every checkpoint is that of a run that was left alone, to the bit. The counts are in
docs/reliability.md.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# What a process imports takes longer than a toy run: one imports it, and is forked for each.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["m3i_jax.training.session", "m3i_jax.evaluation.monitor"])
STEPS, SAVE, MEASURE = 400, 20, 15
CONFIG = [
    "--config=digit_scenes/moco", f"--config.duration={STEPS} steps", "--config.warmup=2 steps",
    "--config.image=16", "--config.batch=8", "--config.data.length=200", "--config.threads=1",
    "--config.encoder.width=64", "--config.encoder.depth=1", "--config.encoder.heads=2",
    "--config.encoder.patch=4", "--config.objective.size=64", "--config.mesh.data=1",
    "--config.mesh.fsdp=-1", f"--config.checkpoint.every={SAVE}", "--config.log.every=1",
    f"--config.checkpoint.keep_every={SAVE}", "--config.log.images=0", "--config.log.report=False",
    f"--config.monitor.every={MEASURE}", "--config.monitor.bank=100", "--config.monitor.queries=50",
    "--config.monitor.most=0", "--config.log.to=()",
]  # fmt: skip
PHASES = ("start", "step", "save", "evaluation")
KINDS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP, "asked": signal.SIGTERM}
ASKED = 75
LIMIT = 30.0  # seconds in which all are gone who were not asked, which takes a step and a save


class Incident(NamedTuple):
    """What was done to which process of a run, and what came of it.

    step: behind which it happened.  seconds: until all others were gone.
    statuses: of all processes.  named: whether each survivor said whom it missed.
    equal: whether losses and the newest checkpoint are those of the run left alone.
    """

    kind: str
    phase: str
    victim: int
    processes: int
    step: int
    seconds: float
    statuses: tuple[int, ...]
    named: bool
    equal: bool

    @property
    def well(self) -> bool:
        """Whether all went as promised."""
        return self.named and self.equal and (self.kind == "asked" or self.seconds <= LIMIT)


class Pair:
    """The processes of one start of a run, each with its log and the marks that it leaves."""

    def __init__(self, workdir: Path, folder: Path, count: int, port: int):
        folder.mkdir(parents=True)
        self.folder, self.count, self.started = folder, count, []
        for rank in range(count):
            words = ["pretrain", *CONFIG, f"--workdir={workdir}", "--distributed",
                     f"--processes={count}", f"--coordinator=127.0.0.1:{port}",
                     f"--process={rank}"]  # fmt: skip
            files = str(folder / f"marks-{rank}"), str(folder / f"log-{rank}")
            self.started.append(SERVER.Process(target=worker, args=(*files, words)))
            self.started[-1].start()

    def mark(self, name: str, rank: int) -> int:
        """How often a process has begun what is called so."""
        path = self.folder / f"marks-{rank}"
        return path.read_text().split().count(name) if path.exists() else 0

    def steps(self) -> int:
        """Steps that the first process has ended in this start."""
        return self.mark("step", 0)

    def alive(self) -> bool:
        """Whether none has ended."""
        return all(process.exitcode is None for process in self.started)

    def wait(self, ready: Callable[[], bool], *, seconds: float = 900.0) -> bool:
        """Waits for something, as long as all live; whether it came."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.alive() or time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    def gone(self, ranks: Sequence[int], *, seconds: float = 600.0) -> float:
        """Seconds until these processes have ended."""
        start = time.monotonic()
        while any(self.started[rank].exitcode is None for rank in ranks):
            if time.monotonic() - start > seconds:
                return float("inf")
            time.sleep(0.02)
        return time.monotonic() - start

    def end(self) -> tuple[int, ...]:
        """Statuses of all; whoever is left is killed."""
        for process in self.started:
            if process.exitcode is None:
                process.kill()
            process.join()
        return tuple(process.exitcode for process in self.started)

    def said(self, rank: int) -> list[str]:
        """The sentences that a process ended with."""
        text = (self.folder / f"log-{rank}").read_text(errors="replace")
        return [line for line in text.splitlines() if line.startswith("error: ")]


def worker(marks: str, log: str, words: list[str]) -> None:
    """`m3i WORDS`, which leaves a mark wherever a phase begins."""
    with open(log, "wb") as told:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(told.fileno(), stream.fileno())
    from m3i_jax.checkpoints.checkpoint import Checkpoints
    from m3i_jax.evaluation import monitor
    from m3i_jax.training import session

    file = os.open(marks, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    mark = lambda name: os.write(file, f"{name}\n".encode())  # noqa: E731
    began, saved, watched = session.start, Checkpoints.save, monitor.monitor

    def start(*args, **kwargs):
        mark("start")
        return began(*args, **kwargs)

    def save(self, *args, **kwargs):
        mark("save")
        return saved(self, *args, **kwargs)

    def watching(context):
        def before(info):
            mark("step")
            if info.step % MEASURE == 0:
                mark("evaluation")

        return [before, *watched(context)]

    session.start, Checkpoints.save, monitor.monitor = start, save, watching
    sys.argv = ["m3i", *words]
    from m3i_jax.__main__ import main

    sys.exit(main())


def losses(workdir: Path) -> dict[int, float]:
    """{step: loss}, of the lines that are whole."""
    found = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line) if line.endswith("}") else {}
        if "train/loss" in row:
            found[row["step"]] = row["train/loss"]
    return found


def digest(workdir: Path, step: int) -> str:
    """SHA-256 of all arrays of a checkpoint, and of what lies beside them."""
    from m3i_jax import trees
    from m3i_jax.checkpoints.checkpoint import Checkpoints

    found = hashlib.sha256()
    with Checkpoints(workdir / "checkpoints", read_only=True) as kept:
        for item in ("online", "ema", "state"):
            for name, leaf in trees.named_leaves(kept.restore_item(step, item)):
                found.update(f"{item}/{name}/{leaf.dtype}/{leaf.shape}".encode())
                found.update(leaf.tobytes())
        found.update(json.dumps(kept.meta(step)["data"], sort_keys=True).encode())
    return found.hexdigest()


def steps(workdir: Path) -> list[int]:
    """Checkpoints that are there, in ascending order."""
    folder = workdir / "checkpoints"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def apart(fn: Callable[..., bool], *args: Any) -> bool:
    """fn(*args) in a process of its own: one that has used a device is not to be forked."""
    process = SERVER.Process(target=leaving, args=(fn, *args))
    process.start()
    process.join()
    return process.exitcode == 0


def leaving(fn: Callable[..., bool], *args: Any) -> None:
    """Ends the process with 0 where fn(*args) holds."""
    sys.exit(0 if fn(*args) else 1)


def equal(workdir: Path, alone: Path, every: bool) -> bool:
    """Whether losses, and the newest or every checkpoint, are those of the run left alone."""
    if not (workdir / "metrics.jsonl").exists():
        return not steps(workdir)
    wanted, there = losses(alone), steps(workdir)
    same = all(wanted[step] == loss for step, loss in losses(workdir).items())
    both = [step for step in there if step % SAVE == 0]
    return same and all(
        digest(workdir, s) == digest(alone, s) for s in (both if every else both[-1:])
    )


def hit(
    pair: Pair, kind: str, phase: str, victim: int, rng: random.Random
) -> tuple[int, float, bool]:
    """Does it; returns the steps of this start, seconds until all others are gone, and whether
    each of them has said why. Statuses come later."""
    after = pair.steps
    if phase == "start":
        there = pair.wait(lambda: all(pair.mark("start", rank) for rank in range(pair.count)))
        time.sleep(rng.uniform(0.0, 1.5))
    elif phase == "step":
        wanted = rng.randint(3, 25)
        there = pair.wait(lambda: after() >= wanted)
    else:
        wanted = rng.randint(1, 2)
        there = pair.wait(lambda: pair.mark(phase, victim) >= wanted)
        time.sleep(rng.uniform(0.0, 0.05))
    if not there:
        raise RuntimeError(f"the run has ended before {phase}: see {pair.folder}")
    begun = after()
    os.kill(pair.started[victim].pid, KINDS[kind])
    everybody = range(pair.count)
    others = everybody if kind == "asked" else [rank for rank in everybody if rank != victim]
    seconds = pair.gone(list(others))
    named = all(any(f"process {victim}" in text for text in pair.said(rank)) for rank in others)
    return begun, seconds, named or kind == "asked"


def ports() -> itertools.count:
    """Of the coordinators, one after the other."""
    return itertools.count(20_000 + os.getpid() % 20_000)


def undisturbed(workdir: Path, folder: Path, count: int, port: int) -> None:
    """A start that is left alone until the run is done."""
    pair = Pair(workdir, folder, count, port)
    pair.gone(range(count), seconds=900)
    statuses = pair.end()
    if any(statuses):
        raise RuntimeError(f"statuses {statuses}: see {folder}")


def campaign(
    count: int, processes: int, place: Path, tell: Callable[[Incident], None], seed: int
) -> None:
    """Runs one after the other, each hit until it is done or has had ten incidents."""
    rng, port, alone = random.Random(seed), ports(), place / "alone"
    if STEPS not in steps(alone):  # another campaign in this place has left it
        undisturbed(alone, place / "alone-logs", processes, next(port))
    wanted = [(kind, phase, v) for kind in KINDS for phase in PHASES for v in range(processes)]
    todo = [wanted[i % len(wanted)] for i in range(count)]
    rng.shuffle(todo)
    for number, (kind, phase, victim) in enumerate(todo):
        workdir = place / f"run-{number // 10}"
        pair = Pair(workdir, place / f"incident-{number}", processes, next(port))
        try:
            begun, seconds, named = hit(pair, kind, phase, victim, rng)
        finally:
            statuses = pair.end()
        if kind == "asked":
            named = set(statuses) == {ASKED}
        step = max(steps(workdir), default=0)
        same = apart(equal, workdir, alone, False)
        tell(Incident(kind, phase, victim, processes, step, seconds, statuses, named, same))
        if number % 10 == 9 or number == count - 1:  # to its end, and all of it compared
            undisturbed(workdir, place / f"end-{number}", processes, next(port))
            whole = apart(equal, workdir, alone, True)
            if not whole or len(losses(workdir)) != STEPS:
                raise RuntimeError(f"{workdir} is not what {alone} is")


def table(found: Sequence[Incident]) -> str:
    """Counts by kind and phase: incidents, those that went well, longest time."""
    lines = [f"{'':10}" + "".join(f"{phase:>22}" for phase in PHASES)]
    for kind in KINDS:
        cells = []
        for phase in PHASES:
            here = [one for one in found if (one.kind, one.phase) == (kind, phase)]
            longest = max((one.seconds for one in here), default=0.0)
            cells.append(f"{sum(one.well for one in here)} of {len(here)}, {longest:.1f} s")
        lines.append(f"{kind:10}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    """The campaign."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--place", type=Path, default=None, help="Keeps runs and logs there.")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    found: list[Incident] = []

    def tell(one: Incident) -> None:
        found.append(one)
        print("ok  " if one.well else "BAD ", *one, flush=True)
        if args.out:
            with args.out.open("a") as out:
                out.write(json.dumps(one._asdict()) + "\n")

    with tempfile.TemporaryDirectory() as temporary:
        campaign(args.count, args.processes, args.place or Path(temporary), tell, args.seed)
    print(table(found))
    sys.exit(not all(one.well for one in found))


if __name__ == "__main__":
    main()
