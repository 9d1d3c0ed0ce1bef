"""Every notebook runs as the program that it is, at its smallest size."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests import programs

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = ("first_run", "own_loss", "what_it_learned")


def test_each_is_here_and_on_its_page():
    page = (ROOT / "docs" / "notebooks.md").read_text()
    assert {path.stem for path in FOLDER.glob("*.py")} == {*NOTEBOOKS, "shapes"}
    assert all(f"(notebooks/{name}.py)" in page for name in NOTEBOOKS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs(name, tmp_path):
    pytest.importorskip("matplotlib", reason="pip install 'm3i_jax[scenes]' for figures")
    own = {"M3I_NOTEBOOK": "tiny", "MPLBACKEND": "agg", "TMPDIR": str(tmp_path), "PYTHONPATH": ROOT}
    own |= programs.devices(1)  # as on a laptop: of eight programs are slower to compile
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    env = os.environ | {key: str(value) for key, value in own.items()}
    done = subprocess.run(command, env=env, cwd=tmp_path, text=True, capture_output=True)
    assert not done.returncode, done.stderr
    assert {"first_run": "neighbours", "own_loss": "nats"}.get(name, "") in done.stdout
