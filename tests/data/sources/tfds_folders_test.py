"""Which folder a name of TensorFlow Datasets stands for; without the library."""

import json

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import tfds_folders


@pytest.fixture
def home(tmp_path):
    for name in ("pets/4.0.0", "pets/10.0.0", "corrupted/fog_1/1.0.0"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "dataset_info.json").write_text(
            json.dumps({"fileFormat": "array_record"})
        )
        (tmp_path / name / "features.json").write_text("{}")
    return tmp_path


def test_the_newest_version_or_the_one_that_is_named(home, monkeypatch):
    found = tfds_folders.found
    assert found("pets", str(home)) == found(str(home / "pets"), None) == home / "pets/10.0.0"
    assert found("pets:4.0.0", str(home)) == home / "pets/4.0.0"
    assert found("corrupted/fog_1", str(home)) == home / "corrupted/fog_1/1.0.0"
    monkeypatch.setenv("TFDS_DATA_DIR", str(home))
    assert found("pets", None).name == "10.0.0"


@pytest.mark.parametrize(
    "root, said",
    [
        ("corrupted", "it has 'fog_1', name one of them"),
        ("pets:1.0.0", "has no version 1.0.0; there are"),
        ("pet", "no data set 'pet' in .*did you mean 'pets'.*nothing is downloaded"),
        ("../pets", "no data set"),
    ],
)
def test_what_is_not_there_is_a_sentence(home, root, said):
    with pytest.raises(ConfigError, match=said):
        tfds_folders.found(root, str(home))


def test_damaged_json_is_a_sentence(home):
    (home / "pets/4.0.0/dataset_info.json").write_text("{")
    with pytest.raises(ConfigError, match="dataset_info.json' cannot be read"):
        tfds_folders.opened("pets:4.0.0", str(home))


def test_the_library_is_asked_for(home, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tensorflow_datasets", None)
    with pytest.raises(ConfigError, match=r"pip install 'm3i_jax.tfds.'"):
        tfds_folders.opened("pets", str(home))
