"""Images in NumPy files: what is read, how another split is labelled, and what is refused."""

import pickle
import re
import shlex
import zipfile

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import arrays
from m3i_jax.data.sources.protocol import NoSplit
from tests.drawn_records import mutated

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)


def source(folder, split="train", **how):
    classes = how.pop("classes", None)
    return data.source({"name": "arrays", "root": str(folder), **how}, split=split, classes=classes)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed], ids=["stored", "compressed"])
def test_images_labels_captions_and_classes_are_those_of_the_file(tmp_path, save):
    said = ["one", "two\nmore", "", "four"]
    save(
        tmp_path / "train.npz",
        images=IMAGES,
        labels=[1, 0, -1, 1],
        classes=["cat", "dog"],
        text=said,
    )
    found = source(tmp_path)
    assert isinstance(found, data.Source) and found.classes == ("cat", "dog")
    assert found.account.labelled == 3 and found.where(2) == f"{tmp_path}/train.npz: 2"
    for one in (found, pickle.loads(pickle.dumps(found))):
        assert [one[i].label for i in range(4)] == one.labels.tolist() == [1, 0, -1, 1]
        np.testing.assert_array_equal([one[i].image for i in range(4)], IMAGES)
        assert list(one.captions()) == [one[i].caption for i in range(4)] == said
    assert found[1].captions == ("two", "more") and not source(tmp_path, captions=False)[1].caption
    assert isinstance(found._held.images, np.memmap) is (save is np.savez)


@pytest.mark.parametrize("names", ["{}_images {}_labels", "x_{} y_{}", "{}/images {}/labels"])
def test_files_of_single_arrays_are_mapped(tmp_path, names):
    for split, grey in (("train", IMAGES), ("test", IMAGES[:2, ..., 0])):
        images, labels = (tmp_path / f"{name.format(split)}.npy" for name in names.split())
        images.parent.mkdir(exist_ok=True)
        np.save(images, grey)
        np.save(labels, np.arange(len(grey))[:, None] % 2)
    train, test = source(tmp_path), source(tmp_path, "test")
    assert isinstance(train._held.images, np.memmap) and train.classes == ("0", "1")
    assert test.labels.tolist() == [0, 1] and len(test) == 2
    np.testing.assert_array_equal(test[1].image, np.stack([IMAGES[1, ..., 0]] * 3, -1))


def test_one_file_may_have_all_splits(tmp_path):
    arrays = {
        f"{a}_{split}": v
        for split in ("train", "test")
        for a, v in (("x", IMAGES), ("y", [3, 0, 0, 3]))
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    for root in (tmp_path, tmp_path / "mnist.npz"):
        assert source(root).classes == source(root, "test").classes == ("0", "3")
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    assert source(tmp_path, "test").classes == ("a", "b", "c", "d")
    assert source(tmp_path, "test").labels.tolist() == [3, 0, 0, 3]


def test_another_split_is_labelled_by_name(tmp_path):
    np.savez(tmp_path / "train.npz", images=IMAGES, labels=["dog", "cat", "dog", "dog"])
    np.savez(tmp_path / "val.npz", images=IMAGES, labels=[0, 1, 1, -1], classes=["dog", "emu"])
    for how in ({}, {"classes": ("cat", "dog")}):
        found = source(tmp_path, "test", **how)
        assert found.labels.tolist() == [1, -1, -1, -1]
        assert found.account.unknown == {"emu": 2} and found.classes == ("cat", "dog")
    np.savez(tmp_path / "test.npz", images=IMAGES)
    assert source(tmp_path, "test").account.labelled == 1  # that of val


def test_the_fingerprint_changes_with_a_pixel_a_label_or_a_name(tmp_path):
    held = dict(images=IMAGES, labels=[0, 1, 1, 0], classes=["a", "b"])
    seen = set()
    for change in ({}, {"images": IMAGES ^ 1}, {"labels": [0, 1, 1, 1]}, {"classes": ["a", "c"]}):
        np.savez(tmp_path / "train.npz", **(held | change))
        found = source(tmp_path)
        seen.add((found.fingerprint(), found.contents()["contents"]))
    assert len(seen) == 4


@pytest.mark.parametrize(
    "held, said",
    [
        (dict(labels=[1]), "no images of the train split; there are no array that is called"),
        (dict(images=IMAGES / 255), r"images of float64 \(4, 6, 5, 3\), expected uint8"),
        (dict(images=IMAGES, labels=[0.5] * 4), "labels are float64"),
        (dict(images=IMAGES, labels=[0, 1]), r"labels of shape \(2,\), expected \(4,\)"),
        (dict(images=IMAGES, labels=np.eye(4)), r"labels of shape \(4, 4\)"),
        (dict(images=IMAGES, labels=[0, 1, 2, 0], classes=["a", "b"]), "0 to 2, but there are 2"),
        (dict(images=IMAGES, x=IMAGES), "both have images of the train split"),
        (dict(images=np.array([{}] * 4)), "cannot be read"),
        (dict(images=IMAGES, labels=["x" * 5000] * 4), "texts of 5000 letters, more than 4096"),
        (dict(images=np.uint8(3)), r"images of uint8 \(\), expected"),
        (dict(images=np.empty((4, 0, 9, 3), np.uint8)), r"\(4, 0, 9, 3\), .* none of them 0"),
    ],
)
def test_what_is_no_data_set_is_refused_in_a_sentence(tmp_path, held, said):
    np.savez(tmp_path / "train.npz", **held)
    with pytest.raises(ConfigError, match=said):
        source(tmp_path)


def test_what_is_large_and_compressed_is_unpacked_as_the_sentence_says(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "INFLATED", IMAGES.nbytes - 1)
    np.savez_compressed(tmp_path / "a train.npz", images=IMAGES, labels=[1, 0, 1, 1])
    with pytest.raises(ConfigError, match="python -m zipfile") as met:
        source(tmp_path)
    command, root = re.search("(-e .*), and read data.root=(.*)", str(met.value)).groups()
    zipfile.main(shlex.split(command))
    found = source(root)
    assert isinstance(found._held.images, np.memmap) and found.labels.tolist() == [1, 0, 1, 1]
    np.testing.assert_array_equal(found._held.images, IMAGES)


def test_what_is_missing_is_said(tmp_path):
    np.savez(tmp_path / "train.npz", images=IMAGES)
    with pytest.raises(NoSplit, match="no images of the test split; there are 'train'"):
        source(tmp_path, "test")
    with pytest.raises(ConfigError, match="there is no '.*trian.npz'; did you mean 'train.npz'"):
        source(tmp_path / "trian.npz")


def test_damaged_files_come_to_a_sentence(tmp_path):
    np.savez(tmp_path / "good.npz", images=IMAGES, labels=[0, 1, 1, 0])
    np.save(tmp_path / "good.npy", IMAGES)
    for kind in ("npz", "npy"):
        good = (tmp_path / f"good.{kind}").read_bytes()
        place = tmp_path / kind
        place.mkdir()
        for damaged in mutated(good, count=150):
            (place / f"train_images.{kind}").write_bytes(damaged)
            try:
                found = source(place)
            except ConfigError:
                continue
            assert all(found[i].image.shape[2] == 3 for i in range(len(found)))


def test_annotations_by_name(tmp_path):
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 5, (3, 4, 6), dtype=np.uint8)
    boxes = np.array([[2, 1, 4, 3], [np.nan] * 4, [0, 0, 1, 1]])
    points = rng.integers(0, 3, (3, 2, 3))
    np.save(tmp_path / "x_train.npy", np.zeros((3, 4, 6, 3), np.uint8))
    for name, array in {"mask": masks, "bboxes": boxes, "points": points}.items():
        np.save(tmp_path / f"{name}_train.npy", array)
    block = {"name": "arrays", "root": str(tmp_path)}
    train = data.source(block, split="train")
    np.testing.assert_array_equal(train[2].mask, masks[2], strict=True)
    assert train[0].box.tolist() == [1, 2, 3, 4] and train[1].box is None and train[0].depth is None
    np.testing.assert_array_equal(train[1].points, points[1].astype(np.float32), strict=True)
    bare = data.source(block | {"annotations": False}, split="train")
    assert bare[0].mask is None and bare.fingerprint() != train.fingerprint()
    np.save(tmp_path / "depth_train.npy", np.zeros((3, 6, 4)))
    with pytest.raises(ConfigError, match=r"of the first image, its depth is float32 of \(6, 4\)"):
        data.source(block, split="train")
    np.save(tmp_path / "depth_train.npy", np.zeros((2, 4, 6)))
    with pytest.raises(ConfigError, match=r"expected numbers, \(3, ...\), one row for each image"):
        data.source(block, split="train")
