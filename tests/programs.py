"""Commands of the tests, each in a process of its own that need not import jax.

To import what a command works with takes 4 s, more than most of what tests ask of it. One process
imports it all and touches no device; it is forked for each command. Tests of a process itself, of
its start, its signals and its end, start one as a user does.
"""

import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["m3i_jax.training.session", "m3i_jax.evaluation.run"])


def run(program: str, *words: object) -> subprocess.CompletedProcess[str]:
    """`python experiments/PROGRAM.py WORDS` in the root of the project."""
    line = [str(ROOT / "experiments" / f"{program}.py"), *map(str, words)]
    with tempfile.TemporaryDirectory() as folder:
        texts = [pathlib.Path(folder) / name for name in ("stdout", "stderr")]
        process = SERVER.Process(target=_be, args=(line, texts))
        process.start()
        process.join()
        said = [path.read_text() for path in texts]
    return subprocess.CompletedProcess(line, process.exitcode, *said)


def _be(line: list[str], texts: list[pathlib.Path]) -> None:
    """Runs a script as the interpreter does; what it prints goes into two files."""
    os.chdir(ROOT)
    for stream, path in zip((sys.stdout, sys.stderr), texts, strict=True):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.argv, sys.path[0] = line, str(pathlib.Path(line[0]).parent)
    runpy.run_path(line[0], run_name="__main__")
