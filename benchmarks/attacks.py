"""Files of strangers who mean harm, given to the readers that meet such files.

    python benchmarks/attacks.py [--only 17] [--json attacks.jsonl]

Each is read in a process of its own. What has to come is a sentence, or data without what was
meant: no code of the file runs (it would leave a canary), nothing is written outside, and memory
and time stay within bounds. The counts are in docs/reliability.md.
"""

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from hostile import ATTACKS
from hostile.attack import Attack

# What the readers import takes longer than they do: one process imports it, and is forked for each.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["hostile", "jax", "orbax.checkpoint.v1", "torch", "onnx", "pyarrow"])
SECONDS = 20  # of processor
MEMORY = 2**30  # bytes that a reader may take
PATIENCE = 400  # seconds, on however slow a machine
KEPT = ("in", "home")  # where a reader may find and leave something


class Outcome(NamedTuple):
    """What came of an attack. kind: "refused", "harmless", or what is wrong.  said: by the reader.

    seconds: of processor.  mib: of memory, beyond what the program has before.
    """

    number: int
    name: str
    kind: str
    said: str
    seconds: float
    mib: float

    @property
    def well(self) -> bool:
        """Whether nothing that was meant has happened."""
        return self.kind in ("refused", "harmless")


def met(attack: Attack, folder: Path) -> tuple[str, str]:
    """What its reader makes of a file: the kind of an `Outcome`, and in which words."""
    from m3i_jax.build import UserError

    try:
        return "harmless", attack.read(folder)
    except UserError as error:
        said = str(error)
        sentence = "\n" not in said.strip() and len(said) < 1000 and said.isprintable()
        return "refused" if sentence else "no sentence", said
    except BaseException as error:  # noqa: BLE001, whatever it is, no user should see it
        return "traceback", f"{type(error).__name__}: {error}"


def reading(told: Connection, number: int, place: Path) -> None:
    """Makes the file, reads it within bounds, and tells (kind, said, seconds, MiB)."""
    attack = ATTACKS[number]
    os.environ["HOME"] = str(place / "home")
    attack.make(place / "in", place / "canary")
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + 4 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    before, start = resource.getrusage(resource.RUSAGE_SELF), cpu()
    resource.setrlimit(resource.RLIMIT_CPU, (int(start) + SECONDS + 1,) * 2)
    kind, said = met(attack, place / "in")
    after = resource.getrusage(resource.RUSAGE_SELF)
    grown = (after.ru_maxrss - before.ru_maxrss) / 1024
    told.send((kind, said[:400], cpu() - start, grown))


def cpu() -> float:
    """Seconds of processor that this process has had."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def outcome(number: int) -> Outcome:
    """Of one attack."""
    with tempfile.TemporaryDirectory() as there:
        place = Path(there)
        for name in KEPT:
            (place / name).mkdir()
        ours, theirs = SERVER.Pipe()
        process = SERVER.Process(target=reading, args=(theirs, number, place))
        process.start()
        theirs.close()
        try:
            found = ours.recv() if ours.poll(PATIENCE) else ("no end", "", PATIENCE, 0.0)
        except EOFError:
            process.join()
            found = (f"ended by {process.exitcode}", "", 0.0, 0.0)
        process.kill()
        process.join()
        kind, said, seconds, mib = found
        outside = sorted(path.name for path in place.iterdir() if path.name not in KEPT)
    if outside:
        kind = "CODE WAS RUN" if "canary" in outside else f"wrote {outside}"
    elif mib > MEMORY / 2**20:
        kind = "too much memory"
    return Outcome(number, ATTACKS[number].name, kind, said, round(seconds, 2), round(mib))


def summary(found: Sequence[Outcome]) -> str:
    """Counts by reader, and the dearest."""
    lines = []
    for reader in dict.fromkeys(one.name.split(":")[0] for one in found):
        here = [one for one in found if one.name.split(":")[0] == reader]
        kinds = [sum(one.kind == kind for one in here) for kind in ("refused", "harmless")]
        bad = len(here) - sum(kinds)
        lines.append(f"{reader:14} {len(here):3} files: {kinds[0]} refused, {kinds[1]} harmless, "
                     f"{bad} otherwise")  # fmt: skip
    slow, big = (max(found, key=key) for key in (lambda o: o.seconds, lambda o: o.mib))
    lines.append(f"longest {slow.seconds} s of processor ({slow.name}), "
                 f"most {big.mib} MiB ({big.name})")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """All of them, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=int, default=None)
    parser.add_argument("--json", type=Path, default=None, help="A line for each.")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # of the process to fork
    found = []
    for number in range(len(ATTACKS)) if args.only is None else [args.only]:
        found.append(outcome(number))
        print("ok  " if found[-1].well else "BAD ", *found[-1], flush=True)
    if args.json:
        args.json.write_text("".join(json.dumps(one._asdict()) + "\n" for one in found))
    print(summary(found))
    sys.exit(not all(one.well for one in found))


if __name__ == "__main__":
    main()
