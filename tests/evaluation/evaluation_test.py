"""One model on one data set: which rows, which classes, what is left out, what is made once."""

import types

import jax
import numpy as np
import pytest
from PIL import Image

from m3i_jax import cli
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from m3i_jax.evaluation import cache, datasets, models, tasks
from m3i_jax.evaluation.evaluation import Evaluation, Transform
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.probes.knn import knn
from m3i_jax.training.config import Config
from m3i_jax.types import Features

COLOURS = {"bird": (255, 0, 0), "cat": (0, 255, 0), "dog": (0, 0, 255), "fox": (255, 255, 0)}


def painted(path, name):
    """An image of one colour, nearly: nearest neighbours are of the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(str(path))).integers(0, 20, (8, 8, 3))
    pixels = np.clip(np.array(COLOURS[name]) + noise - 10, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def pixels_of(root, tmp_path, **changes):
    """The baseline of raw pixels, of a run on a folder."""
    plain = cli.load("digit_scenes/mae").to_dict()
    plain |= {"data": dict(name="image_folder", root=str(root)), "image": 8, **changes}
    config = Config.of(plain)
    return models.Model("pixels", "pixels", config.image, workdir=tmp_path / "run", config=config)


def feature_sets(model, **how):
    return Evaluation(model, datasets.of_run(model), **how).labelled()


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Test"), ("TRAIN", "VAL")])
@pytest.mark.parametrize("seed", range(6))
def test_two_splits_give_the_right_number_or_a_refusal(tmp_path, seed, names):
    """Classes missing, empty, additional or called otherwise in one of the two splits.

    Every test image has the colour of a class of training, seven in ten of the one that its folder
    says: kNN on pixels finds the colour, so the number is known exactly.
    """
    rng = np.random.default_rng(seed)
    known = sorted(rng.permutation(list(COLOURS))[: 2 + seed % 3])
    for name in known:
        for i in range(24 // len(known)):
            painted(tmp_path / names[0] / name / f"{i}.png", name)
    (tmp_path / names[0] / "empty").mkdir()
    folders = sorted(rng.permutation(list(COLOURS))[: rng.integers(1, 4)])
    for name in COLOURS.keys() - set(folders):
        if rng.random() < 0.5:
            (tmp_path / names[1] / name).mkdir(parents=True)
    (tmp_path / names[1] / "@eaDir").mkdir(parents=True)
    painted(tmp_path / names[1] / "@eaDir" / "0.png", "bird")
    right = 0
    for i in range(12):
        folder = folders[i % len(folders)]
        colour = folder if rng.random() < 0.7 and folder in known else rng.choice(known)
        painted(tmp_path / names[1] / folder / f"{i}.png", colour)
        right += folder == colour
    model = pixels_of(tmp_path, tmp_path)
    if unknown := sorted(set(folders) - set(known)):
        with pytest.raises(ConfigError, match=f"training has no class '{unknown[0]}'"):
            feature_sets(model)
        return
    train, test = feature_sets(model)
    assert len(train.labels) == 24 and len(test.labels) == 12
    assert knn(train, test, k=1)[1] == right / 12


def test_a_split_without_labels_is_refused_and_some_without_do_not_count(tmp_path, caplog):
    for name in ("bird", "cat"):
        for i in range(12):
            painted(tmp_path / "train" / name / f"{i}.png", name)
    for i in range(6):
        painted(tmp_path / "val" / f"{i}.png", ("bird", "cat")[i % 2])
    model = pixels_of(tmp_path, tmp_path)
    with pytest.raises(ConfigError, match="a probe needs classes, but no image of the test split"):
        feature_sets(model)
    (tmp_path / "val.txt").write_text("0.png bird\n1.png bird\n2.png bird\n3.png cat\n")
    train, test = feature_sets(model)
    assert len(test.labels) == 4 and knn(train, test, k=1)[1] == 3 / 4
    assert "2 of 6 test records have no label: they are left out" in caplog.text


def test_a_broken_test_image_is_left_out_of_every_number(tmp_path, caplog):
    for split, count in (("train", 12), ("val", 5)):
        for name in ("bird", "cat"):
            for i in range(count):
                painted(tmp_path / split / name / f"{i}.png", name)
    (tmp_path / "val" / "bird" / "4.png").write_bytes(b"<html>")  # a substitute would be a cat
    train, test = feature_sets(pixels_of(tmp_path, tmp_path))
    assert test.labels.tolist() == [0] * 4 + [1] * 5 and knn(train, test, k=1)[1] == 1.0
    assert "1 of 10 test records cannot be read: they are left out" in caplog.text
    assert "val/bird/4.png" in (tmp_path / "run" / "unreadable.txt").read_text()
    (tmp_path / "val" / "bird" / "3.png").write_bytes(b"")
    with pytest.raises(TooManyUnreadable, match="2 of 10 records of the test split"):
        feature_sets(pixels_of(tmp_path, tmp_path))
    assert len(feature_sets(pixels_of(tmp_path, tmp_path, unreadable=0.2))[1].labels) == 8


def test_classes_of_which_no_training_record_was_taken_are_told(tmp_path, caplog):
    for split in ("train", "val"):
        for name, count in (("bird", 8), ("cat", 8), ("dog", 2)):
            for i in range(count):
                painted(tmp_path / split / name / f"{i}.png", name)
    model = pixels_of(tmp_path, tmp_path, unreadable=0.2)
    train, test = feature_sets(model)
    assert knn(train, test, k=1)[1] == 1.0 and "no measure gets them right" not in caplog.text
    for i in range(2):
        (tmp_path / "train" / "dog" / f"{i}.png").write_bytes(b"")
    train, test = feature_sets(model)
    assert knn(train, test, k=1)[1] == 16 / 18
    assert "2 of 18 test records are of 'dog', of which no training record was taken" in caplog.text


class Numbered:
    """Images of 8 x 8 pixels, all of the number of the record."""

    name, classes, evaluation_ratio = "numbered", ("even", "odd"), 1.0

    def __init__(self, length=11):
        self.length, self.read_count = length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, i):
        self.read_count += 1
        return Sample(np.full((8, 8, 3), i, np.uint8), i % 2)

    def captions(self):
        return ()

    def fingerprint(self):
        return f"numbered {self.length}"


def numbered(length=11, **how):
    source = Numbered(length)
    model = models.Model("pixels", "pixels", 8)
    of = datasets.Data("numbered", lambda split, classes: source)
    return source, Evaluation(model, of, **how)


def test_features_are_made_once_however_often_they_are_asked_for():
    source, evaluation = numbered(batch=4)
    first = evaluation.features("train")
    assert evaluation.features("train") is first and source.read_count == 11
    np.testing.assert_array_equal(first.index, np.arange(11))
    np.testing.assert_allclose(first.features[:, 0], np.arange(11) / 255, rtol=1e-6)


def test_images_are_transformed_with_their_numbers_and_kept_apart():
    _, evaluation = numbered(batch=4, test_limit=5)
    add = Transform(
        "add their number", lambda x, index: x + index[:, None, None, None].astype("u1")
    )
    changed = evaluation.features("train", transform=add)
    np.testing.assert_allclose(changed.features[:, 0], 2 * np.arange(11) / 255, rtol=1e-6)
    assert evaluation.features("train") is not changed
    again = evaluation.features("train", transform=add)
    assert again is not changed, "memory holds none of them"
    np.testing.assert_array_equal(again.features, changed.features)
    twice = evaluation.mapped("test", lambda params, x: x[:, 0, 0] * 2.0, name="twice")
    assert twice.features.shape == (5, 3)


def test_the_model_sees_normalised_images_and_its_parameters_are_arguments():
    seen = []

    def encode(params, tower, x):
        seen.append((tower, isinstance(params["w"], jax.core.Tracer)))
        return Features(tokens=x.reshape(x.shape[0], -1, 3) * params["w"])

    network = types.SimpleNamespace(encode=encode)
    _, evaluation = numbered()
    evaluation.model = evaluation.model._replace(network=network, params={"w": 2.0})
    found = evaluation.features("test").features
    pixels = np.arange(11)[:, None] / 255
    expected = 2 * (pixels - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert set(seen) == {("image", True)}


def test_a_split_that_is_none_is_a_sentence():
    _, evaluation = numbered()
    with pytest.raises(ConfigError, match="there is no split 'val', expected train or test"):
        evaluation.features("val")


@pytest.mark.parametrize("n", [1, 7, 8, 9, 33])
@pytest.mark.parametrize("batch", [1, 5, 16])
def test_every_record_is_counted_once_on_eight_devices(n, batch):
    assert jax.device_count() == 8
    _, evaluation = numbered(length=n, batch=batch)
    found = evaluation.features("test")
    np.testing.assert_allclose(found.features[:, 0], np.arange(n) / 255, rtol=1e-6)
    np.testing.assert_array_equal(found.labels, np.arange(n) % 2)
    np.testing.assert_array_equal(found.index, np.arange(n))


def test_features_on_disk_are_those_of_the_same_model_data_and_protocol(tmp_path):
    for length, again in ((11, 11), (12, 12), (11, 0)):  # records are read, or not
        source, evaluation = numbered(length=length, batch=4, cache=tmp_path)
        first = evaluation.features("train")
        assert source.read_count == again and len(first.labels) == length
    add = Transform("add 1", lambda x, index: x + np.uint8(1))
    before = sorted(tmp_path.iterdir())
    changed = evaluation.features("train", transform=add)
    assert source.read_count == 11
    assert sorted(tmp_path.iterdir()) == before, "of changed images nothing stays on disk"
    np.testing.assert_allclose(changed.features - first.features, 1 / 255, rtol=1e-4)
    _, limited = numbered(length=11, train_limit=5, cache=tmp_path)
    assert len(limited.features("train").labels) == 5


def test_features_that_do_not_fit_into_memory_lie_on_disk(monkeypatch):
    _, evaluation = numbered(batch=4)
    whole = evaluation.features("train")
    monkeypatch.setattr(cache, "LARGE", 100)
    _, evaluation = numbered(batch=4)
    found = evaluation.features("train")
    assert isinstance(found.features, np.memmap)
    np.testing.assert_array_equal(found.features, whole.features)


def test_blocks_and_pools_are_those_of_the_encoder(key):
    model = models.fresh({"name": "vit_nano", "image": 8, "patch": 4, "width": 16, "depth": 2})
    source = Numbered(3)
    evaluation = Evaluation(model, datasets.Data("numbered", lambda split, classes: source))
    images = np.stack([source[i].image for i in range(3)])
    made = models.encode(model, model.params, images, layers=True)
    before = models.last_norm(model, model.params, made.layers_pooled[0])
    right = np.concatenate([before, made.pooled, made.tokens.mean(1)], 1)
    found = evaluation.features("train", pool="both", blocks=2).features
    np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-5)
    assert evaluation.features("train", pool="tokens").features.shape == (3, 4, 16)


def test_other_weights_give_other_features_by_the_same_program():
    traced = []

    def encode(params, tower, x):
        traced.append(tower)
        return Features(tokens=x.reshape(x.shape[0], -1, 3) * params["w"])

    _, evaluation = numbered(quiet=True)
    network = types.SimpleNamespace(encode=encode)
    evaluation.model = evaluation.model._replace(network=network, params={"w": np.float32(2)})
    first, count = evaluation.features("train").features, len(traced)
    evaluation.renew({"w": np.float32(4)})
    np.testing.assert_allclose(evaluation.features("train").features, 2 * first, rtol=1e-6)
    assert len(traced) == count


def test_one_image_is_measured_or_refused_in_a_sentence():
    (task,) = tasks.create([{"name": "knn", "k": 1}])
    _, evaluation = numbered(test_limit=1)
    assert task.measure(evaluation).counts == {"train": 11, "test": 1}
    _, evaluation = numbered(train_limit=1)
    with pytest.raises(NotMeasurable, match="kNN tells classes apart, but the training set has on"):
        task.measure(evaluation)
