"""The command: wrong starts are sentences; what it writes is in data/prepare."""

import subprocess
import sys

import pytest

from m3i_jax.commands import prepare
from tests.commands.starts import ROOT, refused
from tests.faulty_folder import made


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--data=digit_scenes", "--output is needed, and was not given"),
        ("--data=digit_scenes --output={tmp}/x --size=-1", "--size is -1, expected 0"),
        ("--data=digit_scenes --output={tmp}/x --fromat=folder", "Did you mean: format"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    assert sentence in refused("prepare", line, tmp_path)


def test_the_places_of_a_source_are_those_of_the_ones_in_it():
    block = {"name": "held_out", "of": {"name": "image_folder", "root": "a"}, "root": "b"}
    assert [*prepare.roots(block)] == ["a", "b"]


def test_a_copy_is_made_checked_and_known_again(tmp_path):
    root = made(tmp_path / "photos")
    out = tmp_path / "copy"

    def run(output, *words):
        line = [sys.executable, "experiments/prepare.py", f"--data={root}", f"--output={output}"]
        words = ["--format=folder", "--unreadable=0.5", *words]
        return subprocess.run([*line, *words], cwd=ROOT, capture_output=True, text=True)

    done = run(out, "--verify")
    assert "train: 8 records" in done.stdout and "4 left out, which" in done.stdout, done.stderr
    assert "all 10 records are as written" in done.stdout
    inside = run(root / "copy")
    assert inside.returncode == 2 and "inside of the data in" in inside.stderr
    assert not (root / "copy").exists()
