r"""Starts a command as several processes on this machine, watches them, and ends them together.

    m3i launch --processes 2 pretrain --config imagenet/mae_vit_b16 --workdir runs/mae
    m3i launch --processes 4 --devices 2 --restarts 3 pretrain --workdir runs/mae
    m3i launch --hosts 8 --host $RANK --coordinator node0:1234 pretrain --config m3i.py

GPUs are dealt out in equal shares, and so are the cores; without GPUs --devices are simulated on
the CPU. Where one process fails the others are ended, and with --restarts the same command goes on
from the last checkpoint: until it has failed so often behind one step, which ends with 78 and a
table (WORKDIR/failures.jsonl keeps it). On several hosts the same line is given on each, with its
own --host. Under Slurm, Open MPI or on a pod nothing has to be launched: `m3i pretrain
--distributed` finds the others.
"""

import contextlib
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import json_lines, place
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.command_flags import text, whole
from m3i_jax.parallel import launching, restarts
from m3i_jax.ranges import Count, CountOrOff

VERBS = ("pretrain", "finetune", "evaluate", "analyze", "embed")
FAILURES = "failures.jsonl"
PORT = 1234
PROCESSES = whole("processes", None, "How many on this machine; a GPU each.", limits=Count)
DEVICES = whole("devices", None, "Of each process; all GPUs, equally.", limits=Count)
HOSTS = whole("hosts", 1, "Machines that the same line is given on.", limits=Count)
HOST = whole("host", 0, "Which of them this one is, from 0.", limits=CountOrOff)
COORDINATOR = text("coordinator", None, "HOST:PORT of host 0, where there are several.")
RESTARTS = whole("restarts", 0, "Further tries behind one step.", limits=CountOrOff)


def main(*words: str) -> int:
    """Launches what stands behind the flags."""
    if not words or words[0] not in VERBS:
        given = f"'{words[0]}'" if words else "nothing"
        raise ConfigError(
            f"m3i launch starts one of {', '.join(VERBS)}; behind it stands {given}. Other "
            "commands are one process, which has all devices of its machine: they need no launcher"
        )
    visible = launching.accelerators()
    processes = PROCESSES.value or len(visible) or 1
    _check_hosts()
    of = launching.places(processes, devices=DEVICES.value, visible=visible)
    command = [sys.executable, "-m", "m3i_jax", *words]
    count, first = HOSTS.value * processes, HOST.value * processes

    def attempt() -> launching.End:
        where = COORDINATOR.value or f"127.0.0.1:{launching.free_port()}"
        return launching.launch(command, lambda index: own(where, count, first + index), of)

    workdir = _workdir(words)
    return restarts.persevere(
        attempt,
        tries=RESTARTS.value + 1,
        step=lambda: _newest(workdir),
        keep=functools.partial(_keep, workdir),
        tell=lambda sentence: print(f"launch: {sentence}", file=sys.stderr, flush=True),
    )


def _check_hosts() -> None:
    """Refuses what cannot be one line for several machines."""
    if HOST.value >= HOSTS.value:
        raise ConfigError(f"--host={HOST.value} of --hosts={HOSTS.value}; they count from 0")
    if HOSTS.value > 1 and not COORDINATOR.value:
        raise ConfigError(f"--hosts={HOSTS.value} wants --coordinator=HOST:{PORT}, of host 0")


def own(coordinator: str, count: int, rank: int) -> list[str]:
    """What only one process of `count` is told: who it is."""
    many = ["--distributed", f"--coordinator={coordinator}", f"--processes={count}"]
    return [*many, f"--process={rank}"] if count > 1 else []


def _workdir(words: Sequence[str]) -> Path | None:
    """The --workdir of a command line; None where it says none."""
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name == "workdir":
            return Path(value if equals else after)
    return None


def _newest(workdir: Path | None) -> int:
    """Step of the newest checkpoint; 0 where there is none."""
    return 0 if workdir is None else max(place.steps(workdir), default=0)


def _keep(workdir: Path | None, failure: restarts.Failure) -> None:
    """Appends a failure to the work directory, where there is one; of several hosts the first."""
    if workdir is not None and workdir.is_dir() and not HOST.value:
        with contextlib.suppress(Unwritable):  # a full disk may be what failed, and be free again
            json_lines.append(workdir / FAILURES, [json.dumps(failure._asdict())])


def behind(argv: Sequence[str]) -> list[str]:
    """The command line with -- in front of the verb, whichever: what follows are flags of it."""
    for index, word in enumerate(argv[1:], start=1):
        if word == "--":
            break
        if not word.startswith("-") and not _takes(argv[index - 1]):
            return [*argv[:index], "--", *argv[index:]]
    return list(argv)


def _takes(word: str) -> bool:
    """Whether a flag has its value in the next word."""
    return word.startswith("-") and "=" not in word


def run() -> None:
    """The command."""
    cli.run(main, words=True, argv=behind)
