"""The command: wrong starts are sentences; what it writes is in data/prepare."""

import subprocess
import sys

import pytest

from m3i_jax.build import ConfigError
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


def test_no_copy_is_written_into_its_source(tmp_path):
    block = {"name": "image_folder", "root": str(tmp_path / "photos")}
    prepare.refuse_inside(block, tmp_path / "photos_256")
    prepare.refuse_inside({"name": "digit_scenes"}, tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for inside in ("photos", "photos/train/copy", "photos/../link/copy"):
        with pytest.raises(ConfigError, match="inside of the data in"):
            prepare.refuse_inside(block, tmp_path / inside)


def test_a_copy_is_made_and_checked(tmp_path):
    folder = made(tmp_path / "photos")
    (folder / "train/loose.png").write_bytes((folder / "train/ant/2.png").read_bytes())
    line = [sys.executable, "experiments/prepare.py", f"--data={folder}"]
    line += [f"--output={tmp_path / 'copy'}", "--format=folder", "--verify"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert "images beside them have no label" in done.stderr
    assert "train: 9 records" in done.stdout and "4 left out, which" in done.stdout, done.stderr
    assert "all 11 records are as written" in done.stdout
    assert f"--config.data.root={tmp_path / 'copy'} --config.data.labels=some" in done.stdout
