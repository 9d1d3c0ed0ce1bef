"""Masks of ADE20K, PASCAL VOC, Cityscapes and folders: numbers as meant, and wrong ones refused."""

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.unreadable import robust
from tests.data.sources.dense_files import image, mask, plane, written, zipped


def source(root, split="train", **block):
    return data.source({"name": "segmentation_folder", "root": str(root), **block}, split=split)


@pytest.fixture
def ade(tmp_path):
    """ADE20K: two training images and one to validate on; 0 is everything else."""
    root = tmp_path / "ADEChallengeData2016"
    for split, names in (("training", ("a", "b")), ("validation", ("c",))):
        for seed, name in enumerate(names):
            image(root / "images" / split / f"ADE_{name}.jpg", seed)
            mask(root / "annotations" / split / f"ADE_{name}.png", (0, 1, 2, 3))
    table = ["Idx\tRatio\tTrain\tVal\tName", *(f"{n}\t0.1\t1\t1\t{x}" for n, x in
             enumerate(("wall", "building, edifice", "sky"), 1))]  # fmt: skip
    written(root / "objectInfo150.txt", table)
    return root


def test_ade20k(ade, tmp_path):
    for root in (ade, zipped(ade, tmp_path / "ade.zip")):
        train, test = (source(root, split, reduce_zero=True) for split in ("train", "test"))
        assert (len(train), len(test)) == (2, 1) and isinstance(train, data.Source)
        assert train.categories == test.categories == ("wall", "building, edifice", "sky")
        np.testing.assert_array_equal(train[1].mask[0], [255, 0, 1, 2] * 2)
        assert train[0].image.shape == (6, 8, 3) and train[0].label == -1 and train.classes == ()
    again = source(ade, reduce_zero=True)
    assert again.fingerprint() == source(ade, reduce_zero=True).fingerprint() != test.fingerprint()
    assert again.fingerprint() != source(ade, count=3, names=str(ade / "objectInfo150.txt"))
    assert {*again.contents()} == {"contents", "times"} and "ADE_a.jpg" in again.where(0)
    with pytest.raises(ValueError, match="has the number 3, which stands for no category: known"):
        source(ade)[0]  # without reduce_zero
    with pytest.raises(ConfigError, match="split is 'val'"):
        source(ade, "val")


def test_pascal_voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for n, stem in enumerate(("2007_000032", "2007_000039", "2007_000063")):
        image(root / "JPEGImages" / f"{stem}.jpg", n)
        stripes = mask(root / "SegmentationClass" / f"{stem}.png", (0, 15, 20, 255), palette=True)
    image(root / "JPEGImages" / "2008_000001.jpg")  # of other tasks, without a mask
    written(root / "ImageSets/Segmentation/train.txt", ["2007_000032", "2007_000063"])
    written(root / "ImageSets/Segmentation/val.txt", ["2007_000039"])
    for base in (tmp_path, root):
        train, test = source(base), source(base, "test")
        assert (len(train), len(test), len(train.categories)) == (2, 1, 21)
        np.testing.assert_array_equal(train[1].mask, stripes)
        assert train.categories[15] == "person" and not train.account.warnings
    written(root / "ImageSets/Segmentation/val.txt", ["../../secret"])
    with pytest.raises(ConfigError, match="lists '../../secret', which is no name"):
        source(root, "test")
    (root / "ImageSets/Segmentation/val.txt").unlink()
    with pytest.raises(NoSplit, match="lists the test split, cannot be read"):
        source(root, "test")


@pytest.mark.parametrize("end, numbers", [("TrainIds", (0, 11, 18, 255)), ("Ids", (7, 24, 33, 0))])
def test_cityscapes(tmp_path, end, numbers):
    for split, city in (("train", "aachen"), ("val", "ulm")):
        stem = f"{city}_000000_000019"
        image(tmp_path / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        mask(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_label{end}.png", numbers)
        mask(tmp_path / "gtFine" / split / city / f"{stem}_gtFine_instanceIds.png", (99,))
    for split in ("train", "test"):
        found = source(tmp_path, split)
        assert len(found) == 1 and len(found.categories) == 19
        np.testing.assert_array_equal(found[0].mask[0], [0, 11, 18, 255] * 2)
        assert [found.categories[n] for n in (0, 11, 18)] == ["road", "person", "bicycle"]
    with pytest.raises(ConfigError, match="reduce_zero is of ADE20K"):
        source(tmp_path, reduce_zero=True)
    mask(tmp_path / "gtFine/train/aachen" / f"aachen_000000_000019_gtFine_label{end}.png", (77,))
    with pytest.raises(ValueError, match="has the number 77, which stands for no category"):
        source(tmp_path)[0]
    with pytest.raises(NoSplit, match="no leftImg8bit/val"):
        (tmp_path / "gtFine/val").rename(tmp_path / "away")
        source(tmp_path, "test")


def test_any_folders_and_what_is_wrong_in_them(tmp_path, caplog):
    for name in ("a", "deep/b", "c", "d", "e"):
        image(tmp_path / "images" / f"{name}.png")
        mask(tmp_path / "masks" / f"{name}.png", (0, 1))
    with pytest.raises(ConfigError, match="nobody names the categories"):
        source(tmp_path)
    (tmp_path / "masks/a.png").unlink()
    mask(tmp_path / "masks/z.png")
    written(tmp_path / "classes.txt", ["ground", "road"])
    with caplog.at_level("INFO"):
        found = source(tmp_path)
    assert "left out 1 images without a mask: " in caplog.text and "images/a.png" in caplog.text
    assert "left out 1 masks without an image" in caplog.text
    assert len(found) == 4 and found.categories == ("ground", "road")
    assert [found.where(n).rpartition("images/")[2] for n in range(4)] == [
        "c.png", "d.png", "deep/b.png", "e.png"
    ]  # fmt: skip
    plane(tmp_path / "masks/c.png", np.zeros((3, 3), np.uint8))
    mask(tmp_path / "masks/d.png", (0, 7))
    image(tmp_path / "masks/deep/b.png")
    for n, why in enumerate(("its mask is uint8 of (3, 3)", "has the number 7", "it is RGB of")):
        with pytest.raises(ValueError) as error:
            found[n]
        assert why in str(error.value) and str(tmp_path / "images") in str(error.value)
    kept = robust(found, max_share=0.9)
    assert kept[0].mask.shape == (6, 8) and len(kept.unreadable) == 3  # its neighbour
    with pytest.raises(NoSplit, match="no test split with masks"):
        source(tmp_path, "test")
    with pytest.raises(ConfigError, match="data.count is 3, but 2 categories are named"):
        source(tmp_path, count=3)
    assert source(tmp_path / "masks" / "..", count=2)  # the same by another path


def test_splits_may_be_around_the_folders(tmp_path):
    for split in ("train", "val"):
        image(tmp_path / split / "JPEGImages" / "x.png")
        mask(tmp_path / split / "labels" / "x.png", (0, 1))
    assert len(source(tmp_path, count=2)) == len(source(tmp_path, "test", count=2)) == 1
    assert source(tmp_path, count=2).categories == ("0", "1")
    mask(tmp_path / "train" / "masks" / "x.png", (0, 1))
    with pytest.raises(ConfigError, match="holds 'labels', 'masks'; leave one"):
        source(tmp_path, count=2)
    (tmp_path / "val/labels/x.png").rename(tmp_path / "val/labels/y.png")
    with pytest.raises(ConfigError, match="none of the 1 images in .* has a mask of its name"):
        source(tmp_path / "val", count=2)
    with pytest.raises(ConfigError, match="has no folder of images and none of masks"):
        source(tmp_path / "val" / "labels", count=2)
    with pytest.raises(ConfigError, match="there is no folder"):
        source(tmp_path / "nowhere", count=2)
