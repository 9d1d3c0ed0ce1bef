"""What --model may say, and what it answers where there is none such."""

import json

import jax
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, models, named, results, run, tasks
from m3i_jax.interop import exporting


def test_a_run_its_steps_and_branches(finished_run):
    for text, step, branch in (
        ("", 8, "ema"),
        ("@4", 4, "ema"),
        ("#online", 8, "online"),
        ("@4#online", 4, "online"),
        ("/checkpoints/4", 4, "ema"),
    ):
        found = named.model(f"{finished_run}{text}")
        assert (found.step, found.branch) == (step, branch)
        assert found.name == f"{finished_run}@{step}" + "#online" * (branch == "online")
    assert named.model(str(finished_run), branch="online", step=4).step == 4
    assert named.model(str(finished_run), image=32).image == 32


def test_an_export_of_a_run(finished_run, tmp_path):
    run = models.restore(finished_run)
    exporting.save(tmp_path, run.params["encoders"]["image"], {"encoder": run.block}, to="timm")
    found = named.model(str(tmp_path))
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    right, made = (models.encode(m, m.params, images).tokens for m in (run, found))
    np.testing.assert_allclose(made, right, rtol=1e-5, atol=1e-5)


def test_every_kind_of_model_gives_the_same_numbers_of_the_same_encoder(finished_run, tmp_path):
    """A run, an export of it, and the same in timm's and transformers' names without our note."""
    run_model = models.restore(finished_run)
    texts, params = [str(finished_run)], run_model.params["encoders"]["image"]
    for to in ("m3i_jax", "timm", "huggingface"):
        exporting.save(tmp_path / to, params, {"encoder": run_model.block}, to=to)
        texts.append(str(tmp_path / to))
        if to != "m3i_jax":
            file = tmp_path / to / "config.json"
            config = json.loads(file.read_text())
            file.write_text(json.dumps({k: x for k, x in config.items() if k != "m3i_jax"}))
    chosen = tasks.create([{"name": "knn"}, {"name": "linear"}])
    how = dict(on=[datasets.named("digit_scenes:length=60")], pool="mean", place=tmp_path)
    found = run.evaluate(chosen, map(named.model, texts), test_limit=30, **how)
    assert [r.branch for r in found[::2]] == ["ema", "file", "file", "file"]
    for kind in (0, 1):
        numbers = [r.metrics for r in found[kind::2]]
        assert all(other == pytest.approx(numbers[0], abs=1e-9) for other in numbers), numbers
    assert results.read(tmp_path) == found


@pytest.mark.parametrize("what", ["run", "file", "untrained"])
def test_a_size_that_does_not_divide_is_a_sentence(finished_run, tmp_path, what):
    run_model = models.restore(finished_run)
    params = run_model.params["encoders"]["image"]
    exporting.save(tmp_path, params, {"encoder": run_model.block}, to="timm")
    text = {"run": finished_run, "file": tmp_path, "untrained": "untrained:vit_nano"}[what]
    with pytest.raises(ConfigError, match="18x18 is not divisible by patch 4"):
        named.model(str(text), image=18)


def test_untrained_encoders_by_name_and_of_a_run(finished_run):
    text = "untrained:vit_nano:image=8,patch=4,width=16,depth=1,seed=3"
    found = named.model(text)
    assert (found.name, found.branch, found.image) == (text, "untrained", 8)
    fresh = found.network.init(jax.random.key(3))
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, fresh, found.params)))
    assert named.model("untrained:vit_nano", image=64).image == 64
    for text in (f"untrained:{finished_run}", f"untrained:{finished_run}@4"):
        assert named.model(text).branch == "untrained" and named.model(text).name == text
    assert named.model("pixels") == models.RAW


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("{run}x", "there is no '.*runx'; did you mean '.*run'"),
        ("{run}@5", "has no checkpoint of step 5; the nearest one is 4"),
        ("{run}#onlin", "the branches ema and online, not 'onlin'; did you mean 'online'"),
        ("{run}/metrics.jsonl", "is not a safetensors file"),
        ("{run}/metrics.jsonl@5", "is a file: it has no steps"),
        ("{run}/checkpoints", "has no checkpoints; expected the --workdir"),
        ("{run}:part=model", "settings are of files"),
        ("vit_b17", "there is no 'vit_b17'; did you mean 'untrained:vit_b16'"),
        ("untrained:vit_bb16", "there is no encoder 'vit_bb16'; did you mean 'vit_b16'"),
        ("untrained:vit_nano:seed=a", "seed is 'a', expected a whole number"),
        ("untrained:vit_nano:pach=2", "has no key 'pach'; did you mean 'patch'"),
        ("untrained:clip_text", "is no encoder of images"),
        ("nowhere/at/all", "there is no 'nowhere/at/all'; expected a work directory or a file"),
    ],
)
def test_what_is_not_there_is_a_sentence(finished_run, text, sentence):
    with pytest.raises(ConfigError, match=sentence):
        named.model(text.format(run=finished_run))
