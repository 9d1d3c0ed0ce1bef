"""An export tells images as its run does: by its table of labels, and by its texts."""

import json

import numpy as np
import pytest

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import weights
from m3i_jax.evaluation import classifiers, datasets, exported, foreign, image_text
from m3i_jax.evaluation.dense import judged
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.interop import exporting
from tests.evaluation import toy_models

WHAT = "it"


@pytest.fixture
def pair(tmp_path):
    """(model of a run of M3I, which has labels and texts; the same model of its export)."""
    return written(tmp_path, to="m3i_jax")


def written(folder, name="m3i", *, to):
    """(model of a run, the same model of its export in the names of `to`)."""
    model = toy_models.of(folder / "run", name)
    model = model._replace(block=weights.block(model.config, "image"))
    block = {"image": model.image, **model.config.encoder}
    said = {"encoder": block, **exported.described(model)}
    exporting.save(folder / "export", model.params["encoders"]["image"], said, to=to)
    assert exported.write(folder / "export", model)
    return model, foreign.of_file(folder / "export")


def measured(model, of):
    return Evaluation(model, datasets.of_run(of), batch=10, quiet=True)


@pytest.mark.parametrize(
    "said, kept",
    [
        ("/home/me/my photos/", "my photos"),
        ("~/photos", "photos"),
        ({"name": "held_out", "of": {"root": "/home/me/photos"}, "share": 0.2},
         {"name": "held_out", "of": {"root": "photos"}, "share": 0.2}),
        ("image_folder:root=/a/photos, 20 % held out", "image_folder:root=photos, 20 % held out"),
        ("image_folder:root=../x,labels=/a/b.csv", "image_folder:root=x,labels=b.csv"),
        (["/a/photos (training)", 3, None], ["photos (training)", 3, None]),
        ("https://host/a/b.tar", "https://host/a/b.tar"),
        ("hf_dataset:path=org/name", "hf_dataset:path=org/name"),
        ("photos/train", "photos/train"),
    ],
)  # fmt: skip
def test_paths_of_a_machine_are_told_nobody(said, kept):
    assert exported.without_places(said) == kept


def test_its_label_head_gives_the_scores_of_the_run(pair):
    run, export = pair
    assert export.classes == run_classes(run) and export.branch == "file"
    one, other = (
        classifiers.own_head(measured(model, run), what=WHAT).scored(None) for model in pair
    )
    np.testing.assert_allclose(other.scores, one.scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(other.labels, one.labels)


def run_classes(run):
    return tuple(datasets.of_run(run).open("train", None).classes)


def test_its_texts_are_those_of_the_run(pair):
    run, export = pair
    texts = ["a red two", "a small blue seven", "zzz"]
    found = [image_text.of(measured(model, run), what=WHAT).text(texts) for model in pair]
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
    scored = [classifiers.by_names(measured(m, run), what=WHAT).scored(None) for m in pair]
    np.testing.assert_allclose(scored[1].scores, scored[0].scores, rtol=1e-4, atol=1e-4)


def test_it_has_what_tells_images_and_nothing_else(pair):
    run, export = pair
    names = {f"{kind}/{name}" for kind, parts in export.params.items() for name in parts}
    told = exported.pairs(run)
    towers = {"encoders/image", *(f"encoders/{one.tower}" for one in told)}
    assert names == towers | {f"decoders/{n}" for one in told for n in (*one.heads, one.decoder)}
    for path, leaf in trees.named_leaves(export.params):
        np.testing.assert_array_equal(leaf, dict(trees.named_leaves(run.params))[path])
    with pytest.raises(ConfigError, match="is of no run, so nothing says on which data"):
        datasets.of_run(export)


@pytest.mark.parametrize(
    "name, view", [("segmentation", "mask"), ("depth", "depth"), ("pose", "points")]
)
def test_its_dense_head_says_of_pixels_what_that_of_the_run_says(name, view, tmp_path):
    run, export = written(tmp_path, name, to="timm")
    assert exported.dense_heads(run) == [name] == [*export.params["decoders"]]
    images = np.float32(np.random.default_rng(0).normal(size=(2, 16, 16, 3)))
    one, other = (judged.own(model, view) for model in (run, export))
    # The same parameters through the same functions: renamed, and named back.
    np.testing.assert_array_equal(*(x.said(x.params, images) for x in (one, other)))
    # A moving average keeps no heads, so its export has none.
    average = run._replace(params={"encoders": run.params["encoders"]})
    assert exported.dense_heads(average) == [] and exported.described(average) == {}


def test_of_an_encoder_that_is_not_the_whole_of_a_run_nothing_is_told(pair, tmp_path):
    run, _ = pair
    less = run._replace(block={**run.block, "depth": 3})
    assert exported.pairs(less) == [] and exported.described(less) == {}
    assert exported.pairs(run._replace(config=None)) == []
    (tmp_path / "less").mkdir()
    assert not exported.write(tmp_path / "less", less) and not [*(tmp_path / "less").iterdir()]


def test_a_file_that_says_something_else_is_a_sentence(pair, tmp_path):
    note = tmp_path / "export" / "config.json"
    said = json.loads(note.read_text())
    said["m3i_jax"]["run"] = ["mae"]
    note.write_text(json.dumps(said))
    with pytest.raises(ConfigError, match="says of its run"):
        foreign.of_file(tmp_path / "export")
    del said["m3i_jax"]["run"]
    note.write_text(json.dumps(said))
    assert foreign.of_file(tmp_path / "export").config is None
