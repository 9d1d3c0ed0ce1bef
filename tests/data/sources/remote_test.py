"""Sources behind URLs give what the same files on disk do, also where the store fails for a while.

The stores are fsspec's own in memory and a web server on this machine.
"""

import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import remote
from m3i_jax.data.sources.unreadable import robust
from tests.data.sources.parquet_test import write
from tests.drawn_records import drawn, samples, tar
from tests.ranged_server import serving

fsspec = pytest.importorskip("fsspec")
RECORDS = drawn(9)
NAMES = ("image_folder", "tar_shards", "parquet")


def source(name, root, split="train", **more):
    return data.source({"name": name, "root": str(root), **more}, split=split)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same records as each of the sources has them."""
    top = tmp_path_factory.mktemp("data")
    with zipfile.ZipFile(top / "x.zip", "w") as file:
        for n, record in enumerate(RECORDS):
            for name, content in ((f"{n}.png", record.png), (f"{n}.txt", record.caption.encode())):
                place = top / "image_folder" / "train" / record.name / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                file.writestr(f"train/{record.name}/{name}", content)
    for n in range(3):
        part = RECORDS[3 * n : 3 * n + 3]
        tar(top / "tar_shards" / f"train-{n}.tar", samples(part, start=3 * n))
        write(top / "parquet" / "data" / f"train-{n:05d}-of-00003.parquet", part, rows=2)
    tar(top / "tar_shards" / "val-0.tar", samples(RECORDS[:2]))
    return top


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "WAIT", 0.01)


@pytest.fixture
def memory(folder):
    """The folder in memory: its URL."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(".m3i"):
            store.pipe_file(f"/bucket/{path.relative_to(folder)}", path.read_bytes())
    return "memory://bucket"


@pytest.fixture
def served(folder):
    pytest.importorskip("aiohttp")
    with serving(folder) as server:
        yield server


def equal(one, other):
    assert len(one) == len(other) == len(RECORDS) and one.classes == other.classes
    with ThreadPoolExecutor(6) as pool:
        for n, (a, b) in enumerate(zip(one, pool.map(other.__getitem__, range(9)), strict=False)):
            np.testing.assert_array_equal(a.image, b.image)
            assert a._replace(image=0) == b._replace(image=0), n
    assert list(one.captions()) == list(other.captions())


@pytest.mark.parametrize("name", NAMES)
def test_they_give_what_files_do(name, folder, memory, tmp_path):
    there = source(name, f"{memory}/{name}")
    equal(source(name, folder / name), there)
    equal(there, pickle.loads(pickle.dumps(there)))
    assert there.where(4).startswith(f"{memory}/{name}/")
    if name == "tar_shards":
        (index,) = (tmp_path / "cache" / "m3i_jax" / "indexes").iterdir()
        assert index.name.startswith(".m3i-index-")
        assert len(source(name, f"{memory}/{name}", "test")) == 2
        equal(there, source(name, f"{memory}/{name}/train-{{0..2}}.tar"))
        equal(there, source(name, f"{memory}/{name}/train-?.tar"))


@pytest.mark.parametrize("name", NAMES)
def test_a_web_server_does(name, folder, served):
    equal(source(name, folder / name), there := source(name, f"{served.url}/{name}"))
    kinds = {kind for kind, path, part in served.asked if part is None and path.endswith(".png")}
    assert kinds <= {"HEAD"}  # images are read by range, too
    equal(there, pickle.loads(pickle.dumps(there)))


def test_a_zip_behind_a_url(folder, memory):
    equal(source("image_folder", folder / "x.zip"), source("image_folder", f"{memory}/x.zip"))
    assert len(source("image_folder", f"{memory}/x.zip/train")) == 9


def test_where_samples_lie_is_read_in_one_pass(folder, served):
    source("tar_shards", f"{served.url}/tar_shards/train-1.tar")
    size = (folder / "tar_shards" / "train-1.tar").stat().st_size
    parts = [part for kind, _, part in served.asked if kind == "GET"]
    assert parts[0] == f"bytes=0-{size - 1}" and len(parts) == 2  # and its last block
    served.asked.clear()
    there = source("tar_shards", f"{served.url}/tar_shards/train-1.tar")
    there[1]
    assert [kind for kind, *_ in served.asked] == ["HEAD", "GET"]  # the index is kept


def test_what_fails_for_a_while_is_read_again(folder, served, caplog):
    there = source("tar_shards", f"{served.url}/tar_shards/train-*.tar")
    served.failures.extend([503, "cut", 429, 500])
    equal(source("tar_shards", folder / "tar_shards"), there)
    assert not served.failures and caplog.text.count(f"of {remote.TRIES} follows") == 4
    assert "503" in caplog.text and "Too Many Requests" in caplog.text
    served.failures.extend([503] * remote.TRIES)
    forgiving = robust(there, max_share=0.5)
    assert (forgiving[3].image == RECORDS[4].pixels).all() and "503" in forgiving.unreadable[3]
    served.failures.extend([403])
    with pytest.raises(ValueError, match="403"):  # for ever: asked once
        there[0]
    assert not served.failures and (there[0].image == RECORDS[0].pixels).all()


def test_failures_of_other_stores(memory, monkeypatch):
    there = source("tar_shards", f"{memory}/tar_shards")
    store, calls = type(fsspec.filesystem("memory")), []
    read = store.cat_file

    def failing(self, path, start=None, end=None, **more):
        calls.append(path)
        if len(calls) % 2:
            raise OSError("the connection was reset")
        return read(self, path, start=start, end=end)[: -1 if len(calls) == 2 else None]

    monkeypatch.setattr(store, "cat_file", failing)
    assert (there[0].image == RECORDS[0].pixels).all() and len(calls) == 4
    monkeypatch.setattr(store, "cat_file", lambda self, path, **_: 1 / 0)
    with pytest.raises(ValueError, match=f"division by zero, {remote.TRIES} times"):
        there[0]


def test_a_server_that_sends_whole_files_is_refused(served):
    there = source("tar_shards", f"{served.url}/tar_shards/train-0.tar")
    served.ranges = False
    with pytest.raises(ValueError, match="sends whole files and no parts of them"):
        there[0]


def test_other_contents_are_noticed(folder, served, tmp_path):
    (tmp_path / "top").mkdir()
    with serving(tmp_path / "top") as changing:
        path = tar(tmp_path / "top" / "0.tar", samples(RECORDS[:2]))
        one = source("tar_shards", f"{changing.url}/0.tar")
        before = one.contents()
        content = bytearray(path.read_bytes())
        content[content.index(RECORDS[0].caption.encode()) + 8] = ord("7")  # of the same length
        path.write_bytes(content)
        two = source("tar_shards", f"{changing.url}/0.tar")
        assert before["contents"] != two.contents()["contents"]
        assert one.fingerprint() == two.fingerprint() and two[0].caption == "picture 7"


def test_a_store_that_says_no_tag_is_looked_into(memory):
    one = source("tar_shards", f"{memory}/tar_shards").contents()
    assert one == source("tar_shards", f"{memory}/tar_shards").contents()
    path = "/bucket/tar_shards/train-0.tar"
    content = bytearray(fsspec.filesystem("memory").cat_file(path))
    content[700] ^= 1
    fsspec.filesystem("memory").pipe_file(path, bytes(content))
    assert one["contents"] != source("tar_shards", f"{memory}/tar_shards").contents()["contents"]


@pytest.mark.parametrize(
    "url, said",
    [
        ("gs://bucket/x", "needs gcsfs, which is not installed: pip install gcsfs"),
        ("s3://bucket/x", "needs s3fs, which is not installed: pip install s3fs"),
        ("nowhere://bucket/x", "cannot be read: .*nowhere"),
        ("memory://bucket/none", "nothing lies below 'memory://bucket/none'"),
        ("memory://bucket/none.tar", "there is no file 'memory://bucket/none.tar'"),
        ("memory://*/x-*.tar", r"of a URL only the last part may have \* or \?"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(url, said, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(ConfigError, match=said):
        source("tar_shards", url)


def test_without_fsspec_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"needs fsspec, .* pip install 'm3i_jax\[remote\]'"):
        source("tar_shards", "memory://bucket/x.tar")


def test_names_that_lead_elsewhere_are_left_out():
    found = {"a/1.png": remote.File(1), "../2.png": remote.File(1), "a//3.png": remote.File(1)}
    store = remote.Store("memory://x", found)
    assert [*store.files] == ["a/1.png"] and store.left_out == {"name that leads elsewhere": 2}
