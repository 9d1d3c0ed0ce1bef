"""`m3i finetune` from a run on a folder: learns, resumes, shows, refuses."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from m3i_jax import shipped
from m3i_jax.build import ConfigError
from m3i_jax.commands import finetune
from m3i_jax.training import log
from tests import programs
from tests.commands.starts import refused


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Pictures of lines, of two kinds and any colours: train/ and val/, lying/ and standing/."""
    root, rng = tmp_path_factory.mktemp("stripes"), np.random.default_rng(0)
    for split, count in (("train", 64), ("val", 21)):
        for kind in ("lying", "standing"):
            (root / split / kind).mkdir(parents=True)
            for i in range(count):
                on = np.roll(np.arange(16) % 4 < 2, rng.integers(4))[:, None, None]
                low, high = rng.integers(0, 90, 3), rng.integers(160, 256, 3)
                image = np.where(on, low, high) + np.zeros((16, 16, 1), int)
                image = image if kind == "lying" else image.swapaxes(0, 1)
                Image.fromarray(image.astype(np.uint8)).save(root / split / kind / f"{i}.png")
    return root


def test_it_learns_from_a_run_and_says_how_well(finished_run, stripes, tmp_path):
    line = f"--model={finished_run} --data={stripes} --workdir={tmp_path}/ft --epochs=6 --batch=16"
    line += " --lr=5e-3 --config.validation.predictions=jsonl"
    done = programs.run("finetune", *line.split())
    assert done.returncode == 0, done.stderr
    best = json.loads((tmp_path / "ft" / "best.json").read_text())
    assert best["value"] > 0.75, "chance is one half"
    assert re.search(rf"^step {best['step']}, the (last and the )?best: top1 ", done.stdout, re.M)
    more = f"m3i export {tmp_path}/ft@{best['step']}#online"
    assert done.stderr.rstrip().endswith(more)
    lines = log.read(tmp_path / "ft" / "metrics.jsonl")
    shares = [x["validation/online/top1"] for x in lines if "validation/online/top1" in x]
    np.testing.assert_allclose(np.round(np.multiply(42, shares)), np.multiply(42, shares))
    assert len(shares) == 6
    said = [json.loads(x) for x in (tmp_path / "ft" / "predictions.jsonl").read_text().splitlines()]
    assert {x["name"] for x in said} == {str(p) for p in (stripes / "val").glob("*/*.png")}
    assert all(x["label"] in x["name"] for x in said)
    right = np.mean([x["best"][0][0] == x["label"] for x in said])
    assert right == best["value"]
    config = json.loads((tmp_path / "ft" / "config.json").read_text())
    assert config["towers"]["category"]["size"] == 2 and config["image"] == 16
    again = programs.run("finetune", *line.split())
    assert again.returncode == 0 and "this run is done already" in again.stderr


@pytest.mark.slow
def test_a_grid_chooses_on_a_part_of_training_and_trains_the_best_on_all(
    finished_run, stripes, tmp_path
):
    line = f"--model={finished_run} --data={stripes} --workdir={tmp_path}/ft --epochs=3 --batch=16"
    line += " --grid=lr=(1e-9,5e-3),layer_decay=0.8 --holdout=0.25"
    done = programs.run("finetune", *line.split())
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "ft" / "grid.json").read_text())
    assert said["chosen"] == {"lr": 5e-3, "layer_decay": 0.8}
    for point, name in zip(said["points"], ("lr_1e-09", "lr_0.005"), strict=True):
        folder = tmp_path / "ft" / "grid" / f"{name}-layer_decay_0.8"
        assert point["value"] == json.loads((folder / "best.json").read_text())["value"]
        lines = (folder / "results.jsonl").read_text().splitlines()
        assert json.loads(lines[0])["counts"] == {"train": 96, "test": 32}
    config = json.loads((tmp_path / "ft" / "config.json").read_text())
    assert config["optimizer"]["lr"] == 5e-3 and config["optimizer"]["layer_decay"] == 0.8
    assert config["data"]["name"] == "image_folder"
    lines = (tmp_path / "ft" / "results.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["counts"] == {"train": 128, "test": 42}
    again = programs.run("finetune", *line.split())
    assert again.returncode == 0 and again.stderr.count("this run is done already") == 3


def test_a_linear_probe_says_its_accuracy(finished_run, stripes, tmp_path):
    line = f"--model={finished_run} --data={stripes} --workdir={tmp_path}/probe --recipe=linear"
    line += " --epochs=2 --batch=16 --lr=1"
    done = programs.run("finetune", *line.split())
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "probe" / "results.jsonl").read_text())
    assert (said["task"], said["counts"]) == ("linear_probe", {"train": 128, "test": 42})
    right = 42 * said["metrics"]["eval/linear_probe/top1"]
    assert said["protocol"]["statistics"] and abs(right - round(right)) < 1e-9


def test_a_recipe_is_known_by_a_short_name(finished_run):
    line = [f"--model={finished_run}", "--recipe", "beit", "--epochs=10", "--show"]
    few = programs.run("finetune", *line)
    assert "batch: 32, not the recipe's 1024, of 60 images" in few.stderr
    assert "batch = 32 " in few.stdout and "lr = 0.000125" in few.stdout, few.stderr
    done = programs.run("finetune", *line, "--batch=1024")
    for said in ("batch = 1024", "duration = '10 epochs'", "warmup = '20 percent'", "lr = 0.004"):
        assert said in done.stdout, done.stderr
    assert set(shipped.RECIPES.values()) >= {"finetune/small"}
    for name in shipped.RECIPES.values():
        assert shipped.find(name.partition(":")[0])


def test_of_a_folder_without_a_test_split_a_part_is_held_out_and_what_is_broken_left_out(
    finished_run, stripes
):
    line = f"--model={finished_run} --data={stripes}/train --show"
    told = " ".join(programs.run("finetune", *line.split()).stdout.split())
    assert re.search(r"\bdata = held_out\b", told) and re.search(r"\bshare = 0\.2\b", told)
    assert re.search(r"\bunreadable = 0\.5\b", told)
    told = programs.run("finetune", *line.split(), "--config.unreadable=0.25").stdout
    assert re.search(r"\bunreadable = 0\.25\b", told)


def test_of_the_data_as_much_may_be_broken_as_they_say_and_not_as_the_recipe_does():
    assert finetune.forgiving(0.5, ["finetune", "runs/a"]) == {"unreadable": 0.5}
    assert finetune.forgiving(None, ["finetune", "a.safetensors"]) == {}
    assert finetune.forgiving(0.5, ["finetune", "--config.unreadable=0.1"]) == {}


def test_wrong_starts_are_sentences(finished_run, tmp_path):
    say = lambda line: refused("finetune", f"{line} --workdir={{tmp}}/x", tmp_path)  # noqa: E731
    assert "name what is fine-tuned: m3i finetune MODEL" in say("")
    assert "there are no weights at" in say("--model=nothing")
    run = f"--model={finished_run}"
    assert "no source or folder 'digits'" in say(f"{run} --data=digits")
    assert "--epochs is 0.0" in say(f"{run} --epochs=0")


@pytest.mark.parametrize(
    "word, flag", [("--config.init_from={}", "--model"), ("--config.data.root=photos", "--data")]
)
def test_what_a_flag_says_is_not_said_by_a_key_that_would_be_lost(word, flag):
    with pytest.raises(ConfigError, match=f"is what {flag} says here; leave {word} out"):
        finetune.refuse_twice_said(["finetune", "--model=a", word])
    finetune.refuse_twice_said(
        ["finetune", "--model=a", "--config.optimizer.lr=1", "--data=photos"]
    )
