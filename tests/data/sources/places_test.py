"""One function for every place that a config may name; zip_paths_test and remote_test have more."""

import zipfile
from pathlib import Path

import pytest

from m3i_jax.data.sources import places
from m3i_jax.data.sources.inside import Inside


@pytest.fixture
def zipped(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ZIP", "w") as file:
        file.writestr("set/train/cat/1.txt", "of a cat")
        file.writestr("set/val/cat/2.txt", "of another")
    return tmp_path / "x.ZIP"


def test_a_path_and_a_zip(tmp_path, zipped):
    assert places.place(str(tmp_path)) == places.place(tmp_path.as_uri()) == Path(tmp_path)
    inside = places.place(str(zipped))
    assert isinstance(inside, Inside) and str(inside) == f"{zipped}/set"
    assert places.place(f"{zipped}/set/train").name == "train"


def test_a_zip_behind_a_url(zipped):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe_file("/places/x.ZIP", zipped.read_bytes())
    inside = places.place("memory://places/x.ZIP")
    assert str(inside) == "memory://places/x.ZIP/set"
    assert places.content(inside / "train/cat/1.txt", size=4) == b"of a"


def test_content_and_walk_are_the_same_on_disk_and_inside(tmp_path, zipped):
    with zipfile.ZipFile(zipped) as file:
        file.extractall(tmp_path / "disk")
    walks = []
    for top in (tmp_path / "disk" / "set", places.place(str(zipped))):
        walk = places.walk(top, onerror=None)
        walks.append(sorted((str(p.relative_to(top)), sorted(d), f) for p, d, f in walk))
        assert places.content(top / "val/cat/2.txt") == b"of another"
        assert places.content(top / "val/cat/2.txt", size=2) == b"of"
    assert walks[0] == walks[1]
