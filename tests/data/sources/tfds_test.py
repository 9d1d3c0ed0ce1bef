"""A data set that TensorFlow Datasets prepared, from a config to samples, without TensorFlow."""

import io
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import tfds_folders
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.unreadable import robust
from tests.drawn_records import NAMES, drawn

library = pytest.importorskip("tensorflow_datasets")


def png(mask):
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    file.seek(0)
    return file


def prepare(home, splits):
    """Lets the library write {split: records} into home/drawn/1.2.0."""
    of = library.features
    features = of.FeaturesDict(
        {
            "image": of.Image(),
            "label": of.ClassLabel(names=list(NAMES)),
            "captions": of.Sequence(of.Text()),
            "segmentation_mask": of.Image(shape=(None, None, 1)),
        }
    )

    def rows(records):
        for n, one in enumerate(records):
            said = {"captions": [one.caption], "segmentation_mask": png(one.pixels[..., 0])}
            yield n, {"image": io.BytesIO(one.png), "label": one.label, **said}

    class Drawn(library.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = library.core.Version("1.2.0")
        _info = lambda self: library.core.DatasetInfo(builder=self, features=features)  # noqa: E731
        _split_generators = lambda self, _: {k: rows(r) for k, r in splits.items()}  # noqa: E731
        _generate_examples = None

    Drawn.__module__ = "m3i_jax"
    Drawn.pkg_dir_path = home
    Drawn(data_dir=str(home), file_format="array_record").download_and_prepare()
    return home / "drawn" / "1.2.0"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    records = drawn(11)
    home = tmp_path_factory.mktemp("tfds")
    unlabelled = [one._replace(label=-1) for one in records[:2]]
    prepare(home, {"train": records, "validation": records[3:6], "test": unlabelled})
    return home, {one.caption: one for one in records}


def source(root, split="train", **how):
    classes = how.pop("classes", None)
    return data.source({"name": "tfds", "root": str(root), **how}, split=split, classes=classes)


def same(found, records, labels=NAMES):
    """The library shuffles what it prepares: a record is known by its caption."""
    samples = [found[n] for n in range(len(found))]
    assert list(found.captions()) == [sample.caption for sample in samples]
    for sample in samples:
        record = records[sample.caption]
        np.testing.assert_array_equal(sample.image, record.pixels)
        np.testing.assert_array_equal(sample.mask, record.pixels[..., 0], strict=True)
        assert sample.label == (labels.index(record.name) if record.name in labels else -1)
    return {sample.caption for sample in samples}


def test_records_by_folder_and_by_name(home, monkeypatch):
    home, records = home
    for root in (home / "drawn" / "1.2.0", home / "drawn"):
        train = source(root)
        assert same(train, records) == {*records} and train.classes == NAMES
    assert train.account.labelled == 11 and getattr(train, "labels", None) is None
    assert train.encoded(3) == records[train[3].caption].png
    assert same(pickle.loads(pickle.dumps(train)), records) == {*records}
    assert source(home / "drawn", annotations=False, captions=False)[0][2:4] == ("", None)
    monkeypatch.setenv("TFDS_DATA_DIR", str(home))
    assert len(source("drawn")) == len(source("drawn:1.2.0")) == 11
    assert "tensorflow" not in sys.modules


def test_the_test_split_is_the_one_with_labels(home):
    home, records = home
    test = source(home / "drawn", "test")
    assert len(test) == 3 and test.where(1) == f"{home}/drawn/1.2.0: validation[1]"
    test = source(home / "drawn", "test", classes=("emu", "dog"))
    same(test, records, labels=("emu", "dog"))
    assert test.account.unknown == {"cat": 1} and test.account.labelled == 2


def test_a_data_set_without_images_or_records_is_refused(home, monkeypatch):
    home, _ = home
    builder = tfds_folders.opened(str(home / "drawn"), None)
    monkeypatch.setattr(tfds_folders, "opened", lambda *_: builder)
    monkeypatch.setattr(builder, "as_data_source", lambda split, decoders: [])
    with pytest.raises(ConfigError, match="the split 'train' of '.*drawn/1.2.0' has no records"):
        source("drawn")
    sounds = {"class": library.features.ClassLabel(num_classes=2)}
    told = SimpleNamespace(info=SimpleNamespace(features=sounds))
    monkeypatch.setattr(tfds_folders, "opened", lambda *_: told)
    with pytest.raises(ConfigError, match="'drawn' has no feature of images; there are 'class'"):
        source("drawn")


def test_what_is_not_there_is_a_sentence(home, tmp_path):
    home, records = home
    with pytest.raises(ConfigError, match="no data set 'drawm' in .*did you mean 'drawn'"):
        source("drawm", data_dir=str(home))
    with pytest.raises(ConfigError, match="has no version 2.0.0; there are '1.2.0'"):
        source("drawn:2.0.0", data_dir=str(home))
    folder = prepare(tmp_path, {"train": list(records.values())})
    with pytest.raises(NoSplit, match="has no test split; there are 'train'"):
        source(folder, "test")
    file = folder / "drawn-train.array_record-00000-of-00001"
    whole = file.read_bytes()
    file.write_bytes(whole[:4000] + bytes(len(whole) - 4000))
    broken = robust(source(folder), max_share=1)
    assert [broken.read(n) for n in range(11)].count(None) > 0
    file.unlink()
    with pytest.raises(ConfigError, match="lacks 'drawn-train.array_record-00000-of-00001' of 1"):
        source(folder)
    features = folder / "features.json"
    features.write_text(features.read_text().replace("tensorflow_datasets.core", "os.path", 1))
    with pytest.raises(ConfigError, match="no features of TensorFlow Datasets"):
        source(folder)
    info = folder / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(ConfigError, match="was prepared as tfrecord, .*--file_format=array_record"):
        source(folder)
