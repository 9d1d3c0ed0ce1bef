"""Processes that are killed, stopped and asked to leave, in every phase of a run of many.

    python benchmarks/incidents.py --count 60 --processes 2 --place incidents
    python benchmarks/incidents.py --count 12 --processes 4 --place of_four --local

A toy run (MoCo with its queue and average, parameters split over the processes) is hit by one
incident after the other, and given its command again each time. What has to hold: who survives is
gone within 30 s and names the process that was hit; who was asked to leave has saved; and every
loss and every checkpoint is that of a run that was left alone, to the bit. The counts are in
docs/reliability.md. PLACE keeps runs, logs and a line for every incident, `incidents.jsonl`; the
same command goes on behind the last one. With --local each process also saves by itself.
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
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

# What a process imports takes longer than a toy run: one imports it, and is forked for each.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["m3i_jax.training.session", "m3i_jax.evaluation.monitor"])
STEPS, SAVE, MEASURE, LOCAL = 400, 20, 15, 3
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
RUN = 10  # incidents that one run has
TRIES = 3  # at an incident before which a process left by itself, as on a machine that has no time


class Way(NamedTuple):
    """How runs are started: of so many processes, and whether each saves by itself, too."""

    processes: int
    local: bool

    def words(self, workdir: Path) -> list[str]:
        """What is added to the config; the disk of a machine is a folder beside the run."""
        local = f"--config.checkpoint.local={workdir.parent / workdir.name}-local"
        return [local, f"--config.checkpoint.local_every={LOCAL}"] if self.local else []


class Incident(NamedTuple):
    """What was done to which process of a run, and what came of it.

    step: behind which it happened.  seconds: until all others were gone.  load: processes that
    wanted each core meanwhile.  statuses: of all processes.  named: whether each survivor said whom
    it missed.  equal: whether losses and the newest checkpoint are those of the run left alone.
    """

    number: int
    kind: str
    phase: str
    victim: int
    processes: int
    step: int
    seconds: float
    load: float
    statuses: tuple[int, ...]
    named: bool
    equal: bool

    @property
    def well(self) -> bool:
        """Whether all went as promised."""
        return self.named and self.equal and (self.kind == "asked" or self.seconds <= LIMIT)


class Pair:
    """The processes of one start of a run, each with its log and the marks that it leaves."""

    def __init__(self, workdir: Path, folder: Path, way: Way, port: int):
        folder.mkdir(parents=True)
        self.folder, self.count, self.started = folder, way.processes, []
        for rank in range(self.count):
            words = ["pretrain", *CONFIG, *way.words(workdir), f"--workdir={workdir}",
                     "--distributed", f"--processes={self.count}",
                     f"--coordinator=127.0.0.1:{port}", f"--process={rank}"]  # fmt: skip
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


def wait(pair: Pair, phase: str, victim: int, rng: random.Random) -> bool:
    """Waits until a run is in a phase; whether it came to it."""
    if phase == "start":
        there = pair.wait(lambda: all(pair.mark("start", rank) for rank in range(pair.count)))
        time.sleep(rng.uniform(0.0, 1.5))
    elif phase == "step":
        wanted = rng.randint(3, 25)
        there = pair.wait(lambda: pair.steps() >= wanted)
    else:
        wanted = rng.randint(1, 2)
        there = pair.wait(lambda: pair.mark(phase, victim) >= wanted)
        time.sleep(rng.uniform(0.0, 0.05))
    return there and pair.alive()


def hit(pair: Pair, kind: str, victim: int) -> tuple[float, bool]:
    """Does it; seconds until all others are gone, and whether each of them has said why."""
    os.kill(pair.started[victim].pid, KINDS[kind])
    everybody = range(pair.count)
    others = everybody if kind == "asked" else [rank for rank in everybody if rank != victim]
    seconds = pair.gone(list(others))
    return seconds, all(any(f"process {victim}" in said for said in pair.said(r)) for r in others)


def undisturbed(workdir: Path, folder: Path, way: Way, port: int) -> None:
    """A start that is left alone until the run is done."""
    pair = Pair(workdir, folder, way, port)
    pair.gone(range(way.processes), seconds=900)
    statuses = pair.end()
    if any(statuses):
        raise RuntimeError(f"statuses {statuses}: see {folder}")


class Plan(NamedTuple):
    """An incident that is to be made."""

    number: int
    kind: str
    phase: str
    victim: int


def plans(count: int, processes: int, seed: int) -> list[Plan]:
    """Every kind in every phase to every process, again and again, shuffled."""
    wanted = [(kind, phase, v) for kind in KINDS for phase in PHASES for v in range(processes)]
    todo = [wanted[i % len(wanted)] for i in range(count)]
    random.Random(seed).shuffle(todo)
    return [Plan(number, *one) for number, one in enumerate(todo)]


def incident(plan: Plan, place: Path, way: Way, seed: int, port: Iterator[int]) -> Incident:
    """Makes it, and compares what is there then with the run that was left alone."""
    workdir, rng = place / f"run-{plan.number // RUN}", random.Random(f"{seed} {plan.number}")
    for _ in range(TRIES):
        folder = place / f"incident-{plan.number}-{time.time():.0f}"
        pair = Pair(workdir, folder, way, next(port))
        try:
            there = wait(pair, plan.phase, plan.victim, rng)
            seconds, named = hit(pair, plan.kind, plan.victim) if there else (0.0, False)
            load = os.getloadavg()[0] / (os.cpu_count() or 1)
        finally:
            statuses = pair.end()
        if there:
            break
        print(f"left before {plan.phase} by themselves, {statuses}: see {folder}", flush=True)
    else:
        raise RuntimeError(f"never came to {plan.phase}")
    if plan.kind == "asked":
        named = set(statuses) == {ASKED}
    step = max(steps(workdir), default=0)
    same = apart(equal, workdir, place / "alone", False)
    seconds, load = round(seconds, 2), round(load, 2)
    return Incident(*plan, way.processes, step, seconds, load, statuses, named, same)


def campaign(
    todo: Sequence[Plan],
    way: Way,
    place: Path,
    tell: Callable[[Incident], None],
    *,
    done: int,
    seed: int,
) -> None:
    """Runs one after the other, each hit until it has had its incidents, then left to its end and
    compared, all of it. done: incidents that were made before."""
    port, alone = itertools.count(20_000 + os.getpid() % 20_000), place / "alone"
    if STEPS not in steps(alone):  # the same command has left it there
        undisturbed(alone, place / f"alone-logs-{time.time():.0f}", way, next(port))
    for plan in todo:
        if plan.number >= done:
            tell(incident(plan, place, way, seed, port))
        workdir = place / f"run-{plan.number // RUN}"
        last = plan.number % RUN == RUN - 1 or plan is todo[-1]
        if last and STEPS not in steps(workdir):
            undisturbed(workdir, place / f"end-{time.time():.0f}", way, next(port))
            if not apart(equal, workdir, alone, True) or len(losses(workdir)) != STEPS:
                raise RuntimeError(f"{workdir} is not what {alone} is")
            print(f"{workdir.name} is the run that was left alone, to the bit", flush=True)


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


def emergencies(place: Path) -> int:
    """Starts of all runs that went on from what each process had saved by itself."""
    logs = [log.read_text(errors="replace") for log in place.glob("*/log-0")]
    return sum("is an emergency save" in log for log in logs)


def written(file: Path) -> list[Incident]:
    """The incidents of a file of lines, if it is there."""
    lines = file.read_text().splitlines() if file.exists() else []
    rows = [json.loads(line) for line in lines]
    return [Incident(**row | {"statuses": tuple(row["statuses"])}) for row in rows]


def main() -> None:
    """The campaign."""
    os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--local", action="store_true", help="Emergency saves, too.")
    parser.add_argument("--place", type=Path, default=None, help="Keeps runs and lines.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = args.place or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        found = written(place / "incidents.jsonl")
        todo = plans(args.count, args.processes, args.seed)

        def tell(one: Incident) -> None:
            found.append(one)
            print("ok  " if one.well else "BAD ", *one, flush=True)
            with (place / "incidents.jsonl").open("a") as out:
                out.write(json.dumps(one._asdict()) + "\n")

        way = Way(args.processes, args.local)
        campaign(todo, way, place, tell, done=len(found), seed=args.seed)
        print(table(found))
        print(f"{emergencies(place)} starts went on from emergency saves")
    sys.exit(not all(one.well for one in found))


if __name__ == "__main__":
    main()
