"""A path, a URL of one, and what is told of URLs of other machines."""

from pathlib import Path

import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.urls import local
from tests.drawn_records import drawn


@pytest.mark.parametrize(
    "place, path",
    [
        ("data/train", "data/train"),
        ("/data/a:b", "/data/a:b"),
        ("C:/data", "C:/data"),
        ("~/data", str(Path.home() / "data")),
        ("file:///data/x", "/data/x"),
        ("file:/data/x", "/data/x"),
        ("file://localhost/data/x", "/data/x"),
        ("file:///data/my%20images", "/data/my images"),
    ],
)
def test_paths(place, path):
    assert local(place) == path


@pytest.mark.parametrize(
    "place, said",
    [
        ("gs://bucket/x", "gcloud storage cp -r gs://bucket/x FOLDER.*mount it .`gcsfuse`"),
        ("s3://bucket/x", "aws s3 cp --recursive s3://bucket/x FOLDER.*mount-s3"),
        ("https://a.org/x.tar", "wget https://a.org/x.tar"),
        (
            "abfs://x@y/z",
            "only: copy it first, or mount it; behind URLs tar_shards, parquet",
        ),
        ("file://other/x", "on the machine 'other': a path here is file:///PATH"),
    ],
)
def test_urls_of_other_machines(place, said):
    with pytest.raises(ConfigError, match=said):
        local(place)


NAMES = "array_record hf_dataset arrays mnist tfds".split()


@pytest.mark.parametrize("name", NAMES)
def test_every_source_says_so(name):
    with pytest.raises(ConfigError, match="and this source reads files of this machine only"):
        data.source({"name": name, "root": "gs://bucket/x"}, split="train")


def test_a_source_reads_a_url_of_a_path(tmp_path):
    (tmp_path / "train" / "a").mkdir(parents=True)
    (tmp_path / "train" / "a" / "1.png").write_bytes(drawn(1)[0].png)
    found = data.source({"name": "image_folder", "root": tmp_path.as_uri()}, split="train")
    assert len(found) == 1
