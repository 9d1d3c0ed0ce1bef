"""Programs started wrongly: each answers with a sentence, and says so in its status."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]


def refused(program, line, tmp_path):
    """What experiments/PROGRAM.py says of a line that it refuses, leaving nothing behind."""
    words = [sys.executable, f"experiments/{program}.py", *line.format(tmp=tmp_path).split()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())
    return done.stderr
