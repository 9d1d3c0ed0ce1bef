"""Commands of the tests, each in a process of its own that need not import jax.

To import what a command works with takes 4 s, more than most of what tests ask of it. One process
imports it all and touches no device; it is forked for each command. Tests of a process itself, of
its start, its signals and its end, start one as a user does.
"""

import atexit
import multiprocessing
import os
import pathlib
import resource
import runpy
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
SERVER = multiprocessing.get_context("forkserver")
# tensorboardX, which most runs write with, imports PyTorch where there is one: 1.5 s.
SERVER.set_forkserver_preload(
    [
        "m3i_jax.training.session",
        "m3i_jax.evaluation.run",
        "m3i_jax.analysis.report.live",
        "tensorboardX",
        "tests.provoked",
    ]
)


def devices(count: int) -> dict[str, str]:
    """What is different in the environment of a program on `count` devices, compiled as tests are.

    jax of a forked process has read its own variables already, XLA has not.
    """
    return {"XLA_FLAGS": os.environ["XLA_FLAGS"].replace("count=8", f"count={count}")}


class Begun(NamedTuple):
    """A process and the files of what it prints."""

    process: BaseProcess
    out: pathlib.Path
    err: pathlib.Path


class Done(NamedTuple):
    """What a process has ended with."""

    returncode: int
    stdout: str
    stderr: str


def begin(
    script: pathlib.Path,
    *words: object,
    folder: pathlib.Path,
    env: Mapping[str, str] | None = None,
    seconds: int | None = None,
) -> Begun:
    """`python SCRIPT WORDS` in the root of the project; what it prints goes into `folder`.

    env: what is different in its environment.
    seconds: of CPU, beside imports, that it is killed after.
    """
    line, texts = [str(script), *map(str, words)], (folder / "stdout", folder / "stderr")
    process = SERVER.Process(target=_be, args=(line, texts, dict(env or {}), seconds))
    for text in texts:
        text.write_bytes(b"")
    process.start()
    return Begun(process, *texts)


def end(begun: Begun) -> Done:
    """Waits for the end of what was begun and reads what it said."""
    begun.process.join()
    return Done(begun.process.exitcode, begun.out.read_text(), begun.err.read_text())


def run(
    program: str,
    *words: object,
    env: Mapping[str, str] | None = None,
    seconds: int | None = None,
) -> Done:
    """`python experiments/PROGRAM.py WORDS`, see `begin`."""
    script = ROOT / "experiments" / f"{program}.py"
    with tempfile.TemporaryDirectory() as place:
        return end(begin(script, *words, folder=pathlib.Path(place), env=env, seconds=seconds))


def _be(
    line: list[str],
    texts: tuple[pathlib.Path, ...],
    env: dict[str, str],
    seconds: int | None,
) -> None:
    """Runs a script as the interpreter does; what it prints goes into two files."""
    # Benchmarks that a test runs may have begun the server that forks, and know nothing of this.
    from tests import provoked

    provoked.install()
    os.chdir(ROOT)
    os.environ.update(env)
    if seconds is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for stream, path in zip((sys.stdout, sys.stderr), texts, strict=True):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv, sys.path[0] = line, str(pathlib.Path(line[0]).parent)
    try:
        runpy.run_path(line[0], run_name="__main__")
    finally:
        # multiprocessing ends a process without them; processes of JAX wait for each other there.
        atexit._run_exitfuncs()
