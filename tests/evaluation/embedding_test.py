"""Features in a file: rows in order, with names, labels and classes; whole, or not there."""

import os

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.evaluation import datasets, embedding, models
from m3i_jax.evaluation.evaluation import Evaluation

MODEL = models.RAW._replace(image=8)


@pytest.fixture
def evaluation():
    return Evaluation(MODEL, datasets.named("digit_scenes:length=12"), test_limit=7)


def test_an_npz_has_features_labels_names_and_classes(evaluation, tmp_path):
    file = tmp_path / "made" / "f.npz"
    embedding.write(file, evaluation, "test")
    found, right = np.load(file), evaluation.features("test")
    np.testing.assert_array_equal(found["features"], right.features)
    np.testing.assert_array_equal(found["labels"], right.labels)
    assert found["features"].shape == (7, 192) and found["features"].dtype == np.float32
    assert found["classes"].tolist() == list(evaluation.classes)
    assert len(found["names"]) == 7 and found["names"][0] == evaluation.source("test").where(0)
    assert [file.name for file in file.parent.iterdir()] == ["f.npz"]


def test_a_parquet_file_has_a_row_for_each_image(evaluation, tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(embedding, "ROWS", 3)  # several groups of rows
    embedding.write(tmp_path / "f.parquet", evaluation, "test")
    table, right = parquet.read_table(tmp_path / "f.parquet"), evaluation.features("test")
    assert table.column_names == ["name", "label", "class", "features"]
    np.testing.assert_array_equal(np.stack(table["features"].to_pylist()), right.features)
    assert table["label"].to_pylist() == right.labels.tolist()
    assert table["class"].to_pylist() == [evaluation.classes[i] for i in right.labels]
    assert table.schema.metadata[b"model"] == b"pixels"


def test_without_pyarrow_parquet_is_a_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="needs pyarrow: pip install pyarrow, or write an .npz"):
        embedding.check("f.parquet")


def test_another_ending_is_a_sentence():
    with pytest.raises(ConfigError, match="'f.csv', expected a file that ends in .npz or .parquet"):
        embedding.check("f.csv")


def test_a_disk_that_takes_nothing_is_a_sentence_and_leaves_nothing(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="cannot be written"):
        embedding.write(tmp_path / "file" / "f.npz", evaluation, "test")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["f.npz", "f.npz.partial"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(ConfigError, match="is no ordinary file"):
        embedding.check(tmp_path / "f.npz")
    assert (tmp_path / name).exists()
