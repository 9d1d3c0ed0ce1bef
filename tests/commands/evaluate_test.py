"""How tasks are written on a command line."""

import os
import signal
import subprocess
import sys

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.commands.evaluate import parsed, show
from m3i_jax.evaluation import results
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.results import Result
from tests import programs
from tests.commands.starts import ROOT, refused


@pytest.mark.parametrize(
    "text, blocks",
    [
        ("linear", [{"name": "linear"}]),
        ("linear, knn", [{"name": "linear"}, {"name": "knn"}]),
        ("knn:k=(1,20),temperature=0.1", [{"name": "knn", "k": (1, 20), "temperature": 0.1}]),
        ("linear:recipe=lars", [{"name": "linear", "recipe": "lars"}]),
        ("knn:k=[1,2],", [{"name": "knn", "k": [1, 2]}]),
    ],
)
def test_a_task_is_a_name_with_settings(text, blocks):
    assert parsed(text) == blocks


def test_a_setting_without_a_value_is_a_sentence():
    with pytest.raises(ConfigError, match="--task is 'knn:k', expected knn:SETTING=VALUE"):
        parsed("knn:k")


@pytest.mark.parametrize(
    "line, sentence",
    [
        ("--task=,", "--task names no task"),
        ("--task=linear:base_lr=10", "base_lr is the rate of recipe=lars"),
        ("--task=linaer", "unknown --task 'linaer'; did you mean 'linear'?"),
        ("--task=knn:k", "expected knn:SETTING=VALUE"),
        ("--workdir={tmp}", "has no checkpoints; expected the --workdir of"),
        ("--wrokdir={tmp}", "Unknown command line flag 'wrokdir'"),
    ],
)
def test_a_wrong_start_is_one_sentence(line, sentence, tmp_path):
    said = refused("evaluate", line, tmp_path)
    assert sentence.format(tmp=tmp_path) in said


def test_what_was_found_before_an_error_is_shown(capsys):
    def found():
        yield Result({"eval/ncm/top1": 0.75}, "file", 0, {}, {}, model="vit", data="photos")
        raise NotMeasurable("there is no text tower")

    with pytest.raises(NotMeasurable):
        show(found(), found=[])
    assert "vit     photos   75.0" in capsys.readouterr().out


def test_ctrl_c_ends_it_at_once_and_says_what_was_found(tmp_path):
    models = ["pixels", "untrained:vit_nano:depth=1,width=16"]
    line = [sys.executable, "-m", "m3i_jax", "evaluate", *models, "--image=16", "--task=knn"]
    line += ["--data=digit_scenes:length=40", "--cache=none", "--nocompilation_cache"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(line, cwd=tmp_path, env=env, **pipes) as begun:
        assert any("untrained" in said for said in begun.stderr), "the first is measured"
        begun.send_signal(signal.SIGINT)
        _, rest = begun.communicate(timeout=60)
    assert begun.returncode == 130 and rest.endswith("\nerror: interrupted\n")
    assert "Traceback" not in rest and "\npixels  " in f"\n{rest}"
    (found,) = results.read(tmp_path)
    assert found.model == "pixels" and not list(tmp_path.glob("*.partial"))


def test_a_place_for_results_is_looked_at_before_the_model_is():
    done = programs.run("evaluate", "--results=/dev/null/a.jsonl", "--model=nowhere")
    assert done.returncode == 74
    assert done.stderr.startswith("error: '/dev/null/a.jsonl' cannot be written: Not a directory")
