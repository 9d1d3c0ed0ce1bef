"""The card of an export: a head that the hub reads, and a page of what is known."""

import shutil

import pytest

from m3i_jax.checkpoints import weights
from m3i_jax.evaluation import model_card, models, results
from m3i_jax.evaluation.results import Result
from m3i_jax.interop import exporting


@pytest.fixture(scope="module")
def run(finished_run, tmp_path_factory):
    """A finished run, of which something was measured."""
    workdir = tmp_path_factory.mktemp("card") / "run"
    shutil.copytree(finished_run, workdir, ignore=lambda *_: [results.FILE])
    model = models.restore(workdir)
    one = Result({"eval/knn/top1": 0.25}, "ema", 8, {}, {}, data="/a/photos | <b>", task="knn:k=1")
    one = one._replace(weights=models.digest(model), intervals={"eval/knn/top1": (0.125, 0.5)})
    others = [one._replace(step=4), one._replace(branch="online"), one._replace(weights="other")]
    results.write(workdir, [one._replace(metrics={"eval/knn/top1": 0.75}), *others, one])
    return model


def exported(model, folder, *, to):
    block = {"image": model.image, **weights.block(model.config, "image")}
    params = model.params["encoders"]["image"]
    layout = exporting.save(folder, params, {"encoder": block, "crop": model.crop}, to=to)
    assert model_card.write(folder, model, layout)
    return (folder / model_card.FILE).read_text()


def test_the_head_is_what_the_hub_reads(run, tmp_path):
    yaml = pytest.importorskip("yaml")
    text = exported(run, tmp_path, to="timm")
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["library_name"] == "timm" and "license" not in head and "mae" in head["tags"]
    (entry,) = head["model-index"]
    (measured,) = entry["results"]
    assert measured["metrics"] == [{"type": "eval/knn/top1", "value": 0.25}]
    assert measured["dataset"] == {"type": "photos | <b>", "name": "photos | <b>"}


def test_the_page_says_what_is_known(run, tmp_path):
    text = exported(run, tmp_path, to="m3i_jax")
    for said in (
        "Method: mae; step 8, 64 images, branch ema",
        "Data: digit_scenes:",
        "short side to 16 pixels, bicubic, the middle 16x16",
        "| knn:k=1 | photos \\| &lt;b> | eval/knn/top1 | 25.00 % | 12.50 % to 50.00 % |",
        "library_name: m3i_jax",
    ):
        assert said in text
    assert text.count("eval/knn/top1 |") == 1


def test_a_card_that_is_there_stays_and_an_untrained_encoder_has_no_numbers(tmp_path):
    model = models.fresh({"name": "vit_nano"})
    (tmp_path / "README.md").write_text("mine")
    assert not model_card.write(tmp_path, model, "timm")
    assert (tmp_path / "README.md").read_text() == "mine"
    text = model_card.card(model, "timm", results=[])
    assert "Measured" not in text and "model-index" not in text and "Method" not in text
