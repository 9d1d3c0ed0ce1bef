"""Programs started wrongly: each answers with a sentence, and says so in its status."""

from tests import programs
from tests.programs import ROOT as ROOT


def refused(program, line, tmp_path):
    """What experiments/PROGRAM.py says of a line that it refuses, leaving nothing behind."""
    done = programs.run(program, *line.format(tmp=tmp_path).split())
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())
    return done.stderr
