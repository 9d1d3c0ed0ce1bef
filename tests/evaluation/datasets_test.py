"""Data sets: of a run, by name, with a part of training held out."""

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.held_out import usual
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.evaluation import datasets, models
from m3i_jax.training.automatic import facts, rules

SMALL = "digit_scenes:length=30"


def test_the_data_of_a_run_are_what_it_was_trained_on(finished_run):
    found = datasets.of_run(models.restore(finished_run))
    assert found.name == "digit_scenes:length=60"
    train = found.open("train", None)
    test = found.open("test", train.classes)
    assert len(train) == 60 and train.classes == test.classes
    with pytest.raises(
        ConfigError, match="'pixels' is of no run, .*: give --data, a folder or one"
    ):
        datasets.of_run(models.RAW)


def test_a_source_by_name_has_its_settings():
    found = datasets.named(SMALL)
    assert found.name == SMALL and len(found.open("train", None)) == 30


def test_what_a_text_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("parquet", "digit_scenes", "photos"):
        (tmp_path / name).mkdir()
    of = {"root": "parquet", "split": "x"}
    for text, block in {
        "digit_scenes": {"name": "digit_scenes"},
        "digit_scenes:length=20": {"name": "digit_scenes", "length": 20},
        "photos": {"name": "image_folder", "root": "photos"},
        "./digit_scenes": {"name": "image_folder", "root": "./digit_scenes"},
        "parquet": {"name": "image_folder", "root": "parquet"},
        "parquet:root=parquet,split=x": {"name": "parquet", **of},
        "x.ZIP": {"name": "image_folder", "root": "x.ZIP"},
        "http://a.org/x:orientation=True": {
            "name": "image_folder",
            "root": "http://a.org/x",
            "orientation": True,
        },
        f"mixture:of={dict(one=of, two=of)}": {"name": "mixture", "of": dict(one=of, two=of)},
    }.items():
        assert datasets.block(text) == block


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("digit_scene", "there is no source or folder 'digit_scene'; did you mean 'digit_scenes'"),
        ("phtos", "there is no source or folder 'phtos'; did you mean 'photos'"),
        ("no/where", "there is no folder 'no/where'"),
        ("photos/list.csv", "'photos/list.csv' is a file; expected a folder of images"),
        ("digit_scenes:lenght=3", "has no key 'lenght'; did you mean 'length'"),
        ("fashion_mnist:root=no/where", "no/where"),
    ],
)
def test_what_is_not_there_is_a_sentence(text, sentence, tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/list.csv").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=sentence):
        datasets.named(text).open("train", None)


@pytest.fixture
def folder(tmp_path):
    """A folder of classes, without a test split."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(10):
            image = np.full((8, 8, 3), 20 * i + (name == "cat"), np.uint8)
            Image.fromarray(image).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_a_folder_is_as_sorted_as_it_is_in_every_command(folder, caplog):
    caplog.set_level("INFO")
    plain = datasets.block(str(folder))
    assert datasets.settled(plain) == plain
    (folder / "dog/9.png").rename(folder / "loose.png")
    assert datasets.settled(plain) == plain | {"labels": "some"}
    of = datasets.named(str(folder))
    train = of.open("train", None)
    assert (of.name, train.classes, sorted(train.labels)[:2]) == (
        str(folder),
        ("cat", "dog"),
        [-1, 0],
    )
    assert len(of.open("train", None)) == 20
    why = f"images beside them have no label: '{folder}' holds both images (loose.png)"
    assert why in caplog.text
    with pytest.raises(ConfigError, match="holds both images"):
        datasets.named(f"image_folder:root={folder},labels=folders").open("train", None)


def test_a_part_of_training_is_held_out_where_there_is_no_test_split(folder):
    of = datasets.named(str(folder))
    with pytest.raises(NoSplit):
        of.open("test", of.open("train", None).classes)
    held = datasets.holding_out(of, share=0.25)
    train = held.open("train", None)
    test = held.open("test", train.classes)
    assert (len(train), len(test)) == (15, 5)
    names = [source.where(i) for source in (train, test) for i in range(len(source))]
    assert len(set(names)) == 20, "no record is in both"
    assert sorted(test.labels.tolist()) == sorted(test[i].label for i in range(5))
    assert datasets.digest(train) != datasets.digest(test)
    with pytest.raises(ConfigError, match="--holdout=0.01 of 20 records leaves none"):
        datasets.holding_out(of, share=0.01).open("train", None)


def test_what_is_held_out_where_nobody_says_a_share_is_what_pretraining_never_saw(folder):
    """m3i pretrain FOLDER, evaluate, finetune and monitors hold out the same images."""
    of = datasets.named(str(folder))
    held = datasets.holding_out(of)
    test = held.open("test", held.open("train", None).classes)
    block = datasets.tested(datasets.block(str(folder)))
    assert block["share"] == rules.held_out(facts.Images(20, 8)).value == usual(20) == 0.2
    trained = [data.source(block, split=split) for split in ("train", "test")]
    assert [len(part) for part in trained] == [16, 4]
    names = [{part.where(i) for i in range(len(part))} for part in (test, trained[1])]
    assert names[0] == names[1] and len(names[0]) == 4
    assert datasets.tested({"name": "digit_scenes"}) == {"name": "digit_scenes"}


def test_a_test_split_that_is_there_is_taken_unless_it_is_not_wanted():
    of = datasets.named(SMALL)
    whole = len(of.open("test", None))
    assert len(datasets.holding_out(of, share=0.5).open("test", None)) == whole
    assert len(datasets.holding_out(of, share=0.5, always=True).open("test", None)) == 15


def test_training_images_are_looked_at_as_those_of_a_test_split_are():
    of = datasets.named(SMALL)
    shown, train = datasets.of_training(of), of.open("train", None)
    assert shown.name == f"{SMALL} (training)" and of.held_out and not shown.held_out
    digests = {datasets.digest(shown.open(split, train.classes)) for split in ("train", "test")}
    assert digests == {datasets.digest(train)}


def test_the_digest_changes_with_records_labels_and_classes(folder):
    found = {datasets.digest(datasets.named(str(folder)).open("train", None))}
    (folder / "cat" / "9.png").unlink()
    found.add(datasets.digest(datasets.named(str(folder)).open("train", None)))
    Image.fromarray(np.full((8, 8, 3), 7, np.uint8)).save(folder / "cat" / "8.png")
    found.add(datasets.digest(datasets.named(str(folder)).open("train", None)))
    (folder / "dog").rename(folder / "hen")
    found.add(datasets.digest(datasets.named(str(folder)).open("train", None)))
    assert len(found) == 4
