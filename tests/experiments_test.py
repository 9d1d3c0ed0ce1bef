"""The programs, started wrongly: each answers with a sentence, and says so in its status."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("evaluate --task=linear:base_lr=10", "base_lr is the rate of recipe=lars"),
        ("evaluate --task=linaer", "unknown --task 'linaer'; did you mean 'linear'?"),
        ("evaluate --task=knn:k", "expected knn:SETTING=VALUE"),
        ("evaluate --workdir={tmp}", "has no checkpoints; expected the --workdir of"),
        ("evaluate --wrokdir={tmp}", "Unknown command line flag 'wrokdir'"),
        ("export --workdir={tmp}", "has no checkpoints; expected the --workdir of"),
        ("convert --input={tmp}/x --output={tmp}/y", "no model.safetensors at '{tmp}/x'"),
        ("convert --input=setup.py --output={tmp}/y --fields=[1]", "--fields is [1], expected"),
        ("convert --input=x --beside=y --to=timm --output={tmp}/z", "not in those of --to timm"),
        ("ablation --forms=k,m", "there is no case 'm' to compare"),
        ("ablation --table_only --workdir={tmp}", "has no results of an ablation"),
        ("ablation --docs={tmp}/ablation.md", "which is no file"),
        ("ablation --docs=README.md", "to put a table between"),
        ("show_cim --workdir={tmp}", "has no checkpoints; expected the --workdir of"),
        ("show_cim --out={tmp}/x", "which is no folder"),
        ("ablation_cim --tokenizer={tmp}/x", "experiments/train_tokenizer.py"),
        (
            "train_tokenizer --workdir={tmp}/t --config.weights.teacher.path={tmp}/c",
            "--config configs/digit_scenes/classification.py --workdir {tmp}/c",
        ),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    program, *flags = line.format(tmp=tmp_path).split()
    words = [sys.executable, f"experiments/{program}.py", *flags]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert sentence.format(tmp=tmp_path) in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
