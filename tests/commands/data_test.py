"""The command: what is wrong with a start is one sentence; figures are in data/survey."""

import contextlib
import subprocess
import sys

import pytest

from m3i_jax import command_flags, config_file
from m3i_jax.build import ConfigError
from m3i_jax.commands import _automatic as automatic
from m3i_jax.commands import data, pretrain
from tests.commands.starts import ROOT, refused
from tests.faulty_folder import encoded, made, picture


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("", "name what is looked at: m3i data FOLDER, a source, or --config=FILE"),
        ("a b --config.image=64", "changes one config, and each of 2 data sets has its own"),
        ("a b --output={tmp}/out", "--output is of one data set, and 2 are named"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    assert sentence in refused("data", line, tmp_path)


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    for place, said in ((tmp_path, "holds other things"), (tmp_path / "thesis.tex", "is a file")):
        with pytest.raises(ConfigError, match=said):
            data.check_output(place)
    (tmp_path / "new").mkdir()
    data.check_output(tmp_path / "new")
    (tmp_path / "new" / "data.json").write_text("{}")
    data.check_output(tmp_path / "new")


def test_a_folder_is_held_against_what_pretraining_takes_of_it(tmp_path):
    (made(tmp_path) / "train" / "loose.png").write_bytes(encoded(picture(0), "PNG"))
    folder, kept = str(tmp_path / "train"), contextlib.ExitStack()
    with kept:
        config = data.unsaid(["m3i data", folder], kept)
        values, words = command_flags.said(command_flags.of(pretrain), ["m3i pretrain", folder])
        assert config == automatic.config(values, words, kept)
        for of in (config, config_file.load("imagenet/m3i_vit_b16")):
            assert len(data.opened(folder, of)["train"]) == 13, "mixed as it is"
    assert data.unsaid(["m3i data", folder, "--config", "digit_scenes/mae"], kept) is None


def test_a_folder_is_looked_at_and_one_that_is_not_there_is_said(tmp_path):
    words = [sys.executable, "experiments/data.py", str(made(tmp_path)), "photo", "--threads=2"]
    out = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert "train: 8 of 12 images can be read" in " ".join(out.stdout.split())
    assert "reading train, image 1 of 12" in out.stderr
    assert out.returncode == 2 and "there is no source or folder 'photo'" in out.stderr
