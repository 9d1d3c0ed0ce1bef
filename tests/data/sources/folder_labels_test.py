"""Splits of a folder are labelled by name, with the classes of training."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.folder_labels import look


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(root / name, format="PNG")
    return root


def both(root):
    block = {"name": "image_folder", "root": str(root)}
    train = data.source(block, split="train")
    test = data.source(block, split="test", classes=train.classes)
    alone = data.source(block, split="test")  # looks for the classes itself
    assert alone.classes == test.classes and alone.account == test.account
    assert [alone[i].label for i in range(len(alone))] == [test[i].label for i in range(len(test))]
    return train, test


@pytest.fixture
def three(tmp_path):
    return put(
        tmp_path, "train/bird/1.png", "train/cat/1.png", "train/cat/2.png", "train/dog/1.png"
    )


def test_labels_are_numbers_of_training_whatever_the_test_split_has(three):
    put(three, "val/cat/1.png", "val/dog/1.png")
    (three / "val" / "bird").mkdir()
    train, test = both(three)
    assert train.classes == test.classes == ("bird", "cat", "dog")
    assert [test[i].label for i in range(2)] == [1, 2]
    assert test.account.labelled == 2 and not test.account.unknown
    (note,) = test.account.notes
    assert "2 images of 2 classes; none of 'bird'; folders without an image: 'bird'" in note
    protocol.require_labels(test, split="test", what="a probe")


def test_a_class_that_training_lacks_is_named_where_a_number_depends_on_it(three):
    put(three, "val/cat/1.png", "val/dgo/1.png", "val/dgo/2.png", "val/Bird/1.png")
    (three / "val" / "empty").mkdir()  # of which no number depends
    train, test = both(three)
    assert [test[i].label for i in range(4)] == [-1, 1, -1, -1]  # Bird, cat, dgo, dgo
    assert test.account.unknown == {"dgo": 2, "Bird": 1}
    with pytest.raises(ConfigError, match="a probe cannot count 3 images of the test split") as it:
        protocol.require_labels(test, split="test", what="a probe")
    assert "no class 'Bird', 'dgo'; did you mean 'bird'?" in str(it.value)
    assert "3 of 'Bird', 'dgo', not in training" in test.account.notes[0]


def test_a_class_that_is_empty_in_training_is_none(three):
    (three / "train" / "fox").mkdir()
    put(three, "val/cat/1.png", "val/fox/1.png")
    train, test = both(three)
    assert "fox" not in train.classes and test.account.unknown == {"fox": 1}
    assert "folders without an image: 'fox'" in train.account.notes[0]


@pytest.mark.parametrize("flat", ["val/1.png", "val/images/1.png"])
def test_flat_folders_are_said_as_what_they_are(three, flat):
    put(three, flat)
    train, test = both(three)
    assert test.classes == train.classes and test[0].label == -1 and test.account.labelled == 0
    assert "1 image, none of them labelled" in test.account.notes[0]
    with pytest.raises(ConfigError, match="no image of the test split has a label of 'bird', 'cat"):
        protocol.require_labels(test, split="test", what="a probe")
    with pytest.raises(ConfigError, match="the train split has no classes"):
        flat = data.source({"name": "image_folder", "root": str(three / "val")}, split="train")
        protocol.require_labels(flat, split="train", what="a probe")


def test_training_without_classes_gives_none_to_the_test_split(tmp_path):
    put(tmp_path, "train/1.png", "val/cat/1.png")
    train, test = both(tmp_path)
    assert train.classes == test.classes == () and test.account.unknown == {"cat": 1}


def test_a_flat_split_alone_beside_others_may_be_a_class_and_is_refused(tmp_path):
    put(tmp_path, "train/1.png", "bus/1.png", "bus/2.png")
    block = {"name": "image_folder", "root": str(tmp_path)}
    with pytest.raises(ConfigError, match="holds 'train', whose .*'bus': it may be a split"):
        data.source(block, split="train")
    alone = {**block, "root": str(tmp_path / "train")}  # as the sentence says
    assert len(data.source(alone, split="train")) == 1
    put(tmp_path, "train/train/1.png", "train/bus/1.png")
    (tmp_path / "train/1.png").unlink()
    assert data.source(block, split="train").classes == ("bus", "train")


def test_what_is_beside_the_splits_is_said(three):
    put(three, "bus/1.png", "test/cat/1.png", "train_masks/1.png")
    train, test = both(three)
    assert len(train) == 4 and train.account.notes[1:] == ("not read, as no split: 'bus'",)
    assert len(test.account.notes) == 1
    assert not look(three / "bus", "train", classes=None, captions=False).account.notes[1:]


def test_names_of_one_word_that_say_splits_are_splits_or_refused(tmp_path):
    put(tmp_path, "a/trainpix/cat/1.png", "a/testpix/cat/1.png", "a/testpix/dog/1.png")
    train, test = both(tmp_path / "a")
    assert train.classes == ("cat",) and test.account.unknown == {"dog": 1}
    for names in (("mytrain", "mytest"), ("trainfoo", "testfoo")):
        root = tmp_path / names[0]
        put(root, *(f"{name}/1.png" for name in names))
        with pytest.raises(ConfigError, match="which may be splits or classes; call splits train"):
            data.source({"name": "image_folder", "root": str(root)}, split="train")
    for names in (("trainer", "tester", "cook"), ("festival", "contest"), ("protest", "mast")):
        root = tmp_path / names[0]
        put(root, *(f"{name}/1.png" for name in names))
        block = {"name": "image_folder", "root": str(root)}
        assert len(data.source(block, split="train").classes) == len(names)


def test_imagenets_val_is_the_test_split_because_its_test_has_no_labels(three):
    put(three, "test/1.png", "val/cat/1.png")
    assert both(three)[1].folder == three / "val"
    put(three, "test/images/cat/1.png")
    (three / "test/1.png").unlink()
    (three / "test/images/cat/1.png").rename(three / "test/images/1.png")
    assert both(three)[1].folder == three / "val"


def test_a_labelled_test_comes_before_val(three):
    put(three, "test/cat/1.png", "val/cat/1.png")
    assert both(three)[1].folder == three / "test"


def test_accents_are_compared_as_they_look(tmp_path):
    put(tmp_path, "train/café/1.png", f"val/{unicodedata.normalize('NFD', 'café')}/1.png")
    assert both(tmp_path)[1][0].label == 0


def test_folders_that_look_like_splits_are_never_classes(tmp_path):
    put(tmp_path, "cat/1.png", "Test/1.png")
    for split in (None, "train"):
        with pytest.raises(ConfigError, match="'Test'"):
            look(tmp_path, split, classes=None, captions=True)
    inside = put(tmp_path / "b", "train/cat/1.png", "train/val/2.png")
    with pytest.raises(ConfigError, match="'val', which looks like a split .* beside cat"):
        look(inside, "train", classes=None, captions=True)
    vehicles = put(tmp_path / "c", "train/bus/1.png", "train/train/2.png", "test/train/2.png")
    train, test = both(vehicles)
    assert train.classes == ("bus", "train") and test[0].label == 1


def test_system_folders_are_no_classes(three):
    put(
        three,
        "@eaDir/1.png",
        "train/@eaDir/1.png",
        "train/cat/@eaDir/1.png",
        "train/#recycle/1.png",
    )
    put(three, "val/lost+found/1.png", "val/cat/1.png", "val/$RECYCLE.BIN/1.png")
    train, test = both(three)
    assert train.classes == ("bird", "cat", "dog") and len(train) == 4 and len(test) == 1
    assert "left out: 2 '@eaDir', 1 '#recycle'" in train.account.notes[0]


def test_digit_scenes_have_the_same_classes_in_both_splits():
    pytest.importorskip("skimage")
    block = {"name": "digit_scenes", "size": 16, "length": 10}
    train = data.source(block, split="train")
    test = data.source(block, split="test", classes=train.classes)
    assert test.classes == train.classes == data.sources.digit_scenes.DIGITS
    other = data.source(block, split="test", classes=("cat",))
    assert other.classes == ("cat",) and other[0].label == -1 and other.account.labelled == 0


@pytest.mark.parametrize("wrap", ["data", "images", "animals/all"])
def test_a_folder_around_the_classes_is_no_class(wrap, tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / split / wrap / name
            folder.mkdir(parents=True)
            Image.new("RGB", (4, 4)).save(folder / "1.png")
    found = [data.source(dict(name="image_folder", root=str(tmp_path)), split="train")]
    found += [data.source(dict(name="image_folder", root=str(tmp_path)), split="test")]
    for source in found:
        assert source.classes == ("cat", "dog") and [source[i].label for i in range(2)] == [0, 1]


@pytest.mark.parametrize("left", ["test", "test/cat", "test/.hidden"])
def test_an_empty_test_folder_hides_no_val(three, left):
    put(three, "val/cat/1.png")
    (three / left).mkdir(parents=True)
    _, test = both(three)
    assert len(test) == 1 and test[0].label == 1
    (three / "val" / "cat" / "1.png").unlink()
    with pytest.raises(ConfigError, match="no images in '.*test'"):
        both(three)


@pytest.mark.parametrize("place", ["train/", "", "data/"])
@pytest.mark.parametrize("pieces", ["fold_{}", "cv{}", "Fold {}", "shard-0000{}", "part{}"])
def test_pieces_of_a_data_set_are_no_classes(place, pieces, tmp_path):
    names = [pieces.format(i) for i in (1, 2)]
    put(tmp_path, *(f"{place}{name}/{c}/1.png" for name in names for c in "ab"))
    with pytest.raises(ConfigError, match=f"holds '{names[0]}' and '{names[1]}', which look like"):
        data.source({"name": "image_folder", "root": str(tmp_path)}, split="train")


def test_many_pieces_are_counted_and_one_around_the_classes_is_only_a_folder(tmp_path):
    put(tmp_path / "one", "train/fold_1/a/1.png", "train/fold_1/b/1.png")
    block = {"name": "image_folder", "root": str(tmp_path / "one")}
    assert data.source(block, split="train").classes == ("a", "b")
    put(tmp_path / "five", *(f"fold{i}/1.png" for i in range(5)), "cat/1.png")
    with pytest.raises(ConfigError, match="'fold0' and 'fold1' and 'fold2' and 2 more, which look"):
        data.source(block | {"root": str(tmp_path / "five")}, split="train")
    put(tmp_path / "own", "train/part1/1.png", "train/part2/1.png")  # may be names of classes
    block["root"] = str(tmp_path / "own")
    assert data.source(block, split="train").classes == ("part1", "part2")


def test_the_depth_of_the_classes_is_said_where_there_are_several(tmp_path):
    put(tmp_path, "train/animal/cat/1.png", "train/animal/dog/1.png", "train/car/1.png")
    train = data.source({"name": "image_folder", "root": str(tmp_path)}, split="train")
    assert train.classes == ("animal", "car")
    said = "the classes are the outer folders ('animal'), and not the folders within them "
    assert said + "('cat', 'dog'); to tell" in train.account.notes[1]
    put(tmp_path / "tiny", "train/a/images/1.png", "train/b/images/1.png")
    tiny = data.source({"name": "image_folder", "root": str(tmp_path / "tiny")}, split="train")
    assert tiny.classes == ("a", "b") and len(tiny.account.notes) == 1


def test_images_beside_the_folders_of_classes_have_no_label_where_some_may(three):
    root = put(three / "train", "loose.png")
    with pytest.raises(ConfigError, match="holds both images"):
        look(root, None, classes=None, captions=True)
    some = look(root, None, classes=None, captions=True, labels="some")
    assert some.classes == ("bird", "cat", "dog") and some.labels.tolist() == [-1, 0, 1, 1, 2]


def test_nothing_is_a_class_or_a_split_where_nothing_is_sorted(three):
    put(three, "fold1/1.png", "test/cat/1.png", "a.png")
    source = data.source({"name": "image_folder", "root": str(three), "labels": "none"},
                         split="train")  # fmt: skip
    assert len(source) == 7 and source.classes == () and set(source.labels) == {-1}
    with pytest.raises(protocol.NoSplit):
        look(three, "test", classes=None, captions=True, labels="none")
