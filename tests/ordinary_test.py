"""What is no ordinary file is refused at once, whoever has its name."""

import errno
import os
import resource
import socket
import threading
import time

import numpy as np
import pytest
from matplotlib.figure import Figure

from m3i_jax import ordinary, pictures, plotting
from m3i_jax.checkpoints import storage
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data import captions
from m3i_jax.data.sources import texts, unreadable
from m3i_jax.evaluation import results
from m3i_jax.training import log

KINDS = ("pipe", "pipe with a reader", "socket", "folder", "device")


def put(path, kind):
    """Something else of this name; what has to be kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind.startswith("pipe"):
        os.mkfifo(path)
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK) if "reader" in kind else None
    if kind == "socket":
        kept = socket.socket(socket.AF_UNIX)
        here = os.getcwd()
        os.chdir(path.parent)  # their names have 107 bytes at most
        kept.bind(path.name)
        os.chdir(here)
        return kept
    return path.mkdir() if kind == "folder" else path.symlink_to("/dev/full")


def result():
    return results.Result(
        {"eval/x/top1": 0.5}, branch="ema", step=1, protocol={}, counts={}, task="x"
    )


class Told:
    """As much of a source as has one record."""

    name, classes = "told", ()

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError("broken")


def told(workdir):
    unreadable.robust(Told(), report=workdir / "unreadable.txt").read(0)


WRITES = {  # name in a work directory: what opens it
    "a.json.partial": lambda w: storage.publish(w / "a.json", b"{}"),
    "metrics.jsonl": lambda w: log.Log(w, total=1).close(),
    "metrics.jsonl.partial": lambda w: _shorten(w),
    "config.json.partial": lambda w: log.guard_config(w, {"a": 1}),
    "checkpoints/.lock": lambda w: Checkpoints(w / "checkpoints").close(),
    "tokenizer.json.partial": lambda w: _tokenizer(w),
    "results.jsonl.lock": lambda w: results.write(w, [result()]),
    "results.jsonl.partial": lambda w: results.write(w, [result()]),
    "lines.txt": lambda w: texts.read(w / "lines.txt"),
    "unreadable.txt": told,
    "views.png": lambda w: pictures.save(np.zeros((4, 4, 3)), w / "views.png"),
    "curves.svg": lambda w: plotting.save_figure(Figure(), w / "curves.svg"),
}


def _shorten(workdir):
    (workdir / "metrics.jsonl").write_text('{"step": 5}\n')
    log.Log(workdir, total=9, start=1).close()


def _tokenizer(workdir):
    with storage.writing(workdir):
        captions.train(["a cat"]).save(workdir / "tokenizer.json")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WRITES)
def test_nothing_in_a_work_directory_is_waited_for(name, kind, tmp_path):
    kept = put(tmp_path / name, kind)  # noqa: F841
    met = []

    def act():
        try:
            WRITES[name](tmp_path)
        except Exception as error:  # noqa: BLE001
            met.append(error)

    thread, start = threading.Thread(target=act, daemon=True), time.monotonic()
    thread.start()
    thread.join(10)
    assert not thread.is_alive() and time.monotonic() - start < 10
    if name == "unreadable.txt":  # nothing depends on it: a warning is enough
        return
    (error,) = met
    assert hasattr(error, "status") or isinstance(error, OSError), repr(error)
    assert "no ordinary file" in str(error) or "is a directory" in str(error).lower(), error


def test_a_file_that_has_no_room_is_named(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # Python ignores the signal
    try:
        with pytest.raises(OSError) as met:
            ordinary.written(tmp_path / "a", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert met.value.errno == errno.EFBIG and met.value.filename == str(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_who_is_interrupted_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a"
    ordinary.written(path, b"old")
    path.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to("a")
    with pytest.raises(KeyboardInterrupt), ordinary.replacing(link) as draft:
        draft.write_bytes(b"n")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and {p.name for p in tmp_path.iterdir()} == {"a", "link"}
    ordinary.written(link, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o600
    assert link.is_symlink()


def test_ordinary_files_are_made_written_and_read(tmp_path):
    path = tmp_path / "a"
    ordinary.written(path, b"one")
    ordinary.written(path, b"two", append=True, sync=True)
    assert path.read_bytes() == b"onetwo" and path.stat().st_mode & 0o777 == 0o644
    ordinary.written(path, b"x")
    assert path.read_bytes() == b"x"
    assert ordinary.written_by(path, lambda file: file.write(b"y")) == path
    assert path.read_bytes() == b"y"
    ordinary.written(path, b"x")
    with pytest.raises(FileNotFoundError):
        ordinary.opened(tmp_path / "none", os.O_RDONLY)
    link = tmp_path / "link"
    link.symlink_to(path)
    with open(ordinary.opened(link, os.O_RDONLY), "rb") as file:
        assert file.read() == b"x"
    with pytest.raises(OSError, match="no ordinary file") as met:
        ordinary.opened("/dev/null", os.O_RDONLY)
    assert met.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    "count, words",
    [(0, "0 bytes"), (999, "999 bytes"), (2.5e6, "2.5 MB"), (123456789012, "123 GB")],
)
def test_sizes_in_words(count, words):
    assert ordinary.size(count) == words
