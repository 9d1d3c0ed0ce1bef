import json
import os
import socket
import subprocess
import sys

import pytest

from m3i_jax.checkpoints import storage
from m3i_jax.checkpoints.faults import Damage, Locked, Unwritable


def sealed(tmp_path):
    folder = tmp_path / "step"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    (folder / "a" / "x").write_bytes(b"one")
    (folder / "b" / "y").write_bytes(b"two!")
    (folder / "top").write_bytes(b"")
    storage.seal(folder, {"step": 3})
    return folder


def test_a_seal_holds_until_a_byte_changes(tmp_path):
    folder = sealed(tmp_path)
    manifest = storage.verify(folder)
    assert manifest["step"] == 3 and set(manifest["files"]) == {"a/x", "b/y", "top"}
    # SHA-256 of "one", from an independent implementation.
    expected = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert manifest["files"]["a/x"] == {"size": 3, "sha256": expected}
    (folder / "b" / "y").write_bytes(b"two?")
    storage.verify(folder, contents=False)
    storage.verify(folder, within=("a",))
    for within in (None, ("b",)):
        with pytest.raises(Damage, match="b/y has changed bytes"):
            storage.verify(folder, within=within)
    (folder / "b" / "y").write_bytes(b"tw")
    with pytest.raises(Damage, match="b/y has 2 bytes instead of 4"):
        storage.verify(folder, contents=False)
    (folder / "b" / "y").unlink()
    with pytest.raises(Damage, match="b/y is missing"):
        storage.verify(folder)


def test_another_format_is_refused(tmp_path):
    folder = tmp_path
    body = {"format": 99, "files": {}}
    (folder / storage.MANIFEST).write_text(
        json.dumps({**body, "digest": storage._own_digest(body)})
    )
    with pytest.raises(Damage, match="format 99"):
        storage.verify(folder)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"digest": 1e999, "format": 1}', "[]", "7"])
def test_a_manifest_of_somebody_else_is_damage(tmp_path, text):
    (tmp_path / storage.MANIFEST).write_text(text)
    with pytest.raises(Damage, match="manifest.json cannot be read"):
        storage.verify(tmp_path)


def test_lines_that_a_disk_refuses_are_written_later_and_whole(tmp_path, monkeypatch):
    lines, write = storage.Lines(tmp_path / "lines"), os.write
    lines.write(b"one\n")

    def full(file, data):
        if len(data) > 2:
            return write(file, data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for line in (b"two\n", b"three\n"):
        with pytest.raises(OSError, match="No space"):
            lines.write(line)
    monkeypatch.undo()
    assert not (tmp_path / "lines").read_bytes().endswith(b"three\n")
    lines.write(b"four\n")
    lines.close()
    assert (tmp_path / "lines").read_bytes() == b"one\ntwo\nthree\nfour\n"


def test_lines_come_back_after_their_file_is_deleted(tmp_path):
    path = tmp_path / "run" / "lines"
    path.parent.mkdir()
    lines = storage.Lines(path)
    lines.write(b"one\n")
    path.unlink()
    path.parent.rmdir()
    lines.write(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    lines.close()


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="'.*' cannot be written: Not a directory") as met:
        with storage.writing(tmp_path / "file" / "x"):
            (tmp_path / "file" / "x").mkdir()
    assert met.value.status == 74


def test_publish_replaces_whole_files(tmp_path, monkeypatch):
    path = tmp_path / "file"
    storage.publish(path, b"old")
    storage.publish(path, b"new")
    assert path.read_bytes() == b"new"

    def crash(*args):
        raise OSError("power")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="power"):
        storage.publish(path, b"half")
    assert path.read_bytes() == b"new"


def test_remove_takes_the_name_first(tmp_path, monkeypatch):
    folder = sealed(tmp_path)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **kwargs: None)  # a crash in the middle
    storage.remove(folder)
    assert not folder.exists() and (tmp_path / "step.removed").exists()
    monkeypatch.undo()
    storage.remove(tmp_path / "step.removed")
    assert list(tmp_path.iterdir()) == []
    storage.remove(folder)


def test_free_space(tmp_path):
    assert storage.free(tmp_path) > 0


def test_lock_excludes_and_is_released(tmp_path):
    path = tmp_path / ".lock"
    with storage.lock(path):
        assert json.loads(path.read_text()) == [socket.gethostname(), os.getpid()]
        with pytest.raises(Locked, match=f"process {os.getpid()} on"):
            with storage.lock(path):
                pass
    assert not path.exists()
    with storage.lock(path):
        pass


def test_a_lock_of_another_is_left_alone(tmp_path):
    path = tmp_path / ".lock"
    with storage.lock(path) as held:
        assert held()
        path.unlink()
        assert not held()
        path.write_text("of another")
        assert not held()
    assert path.read_text() == "of another"


def test_a_lock_left_behind_is_taken_over(tmp_path):
    path = tmp_path / ".lock"
    path.write_text(json.dumps([socket.gethostname(), 1]))  # alive, but the kernel says unlocked
    taken = 0
    with storage.lock(path):
        taken += 1
    path.write_text("nonsense")
    with storage.lock(path):
        taken += 1
    assert taken == 2


PARENT = """
import os, subprocess, sys, time
from pathlib import Path
from m3i_jax.checkpoints import storage
descriptor = storage._acquire(Path(sys.argv[1]))
os.set_inheritable(descriptor, True)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], close_fds=False)
print(child.pid, flush=True)
time.sleep(60)
"""


def test_workers_that_outlive_a_killed_run_do_not_hold_its_lock(tmp_path):
    path = tmp_path / ".lock"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(path)], stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(Locked, match=f"process {parent.pid} on"):
            with storage.lock(path):
                pass
        parent.kill()
        parent.wait()
        with storage.lock(path):
            assert json.loads(path.read_text())[1] == os.getpid()
    finally:
        parent.kill()
        os.kill(child, 9)
        parent.stdout.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"files": []},
        {"files": {"x": {}}},
        {"files": {"x": None}},
        {"files": {"a\0b": {"size": 0, "sha256": ""}}},
        {"files": {"/dev/full": {"size": 0, "sha256": ""}}},
        {"files": {"../2/x": {"size": 0, "sha256": ""}}},
        {"meta": "x"},
        {"items": [3]},
    ],
)
def test_a_manifest_of_another_shape_is_damage_and_names_nothing_elsewhere(changes, tmp_path):
    folder = sealed(tmp_path)
    manifest = json.loads((folder / storage.MANIFEST).read_text())
    del manifest["digest"]
    manifest |= changes
    manifest["digest"] = storage._own_digest(manifest)
    (folder / storage.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(Damage):
        storage.verify(folder)


def test_lines_come_back_where_their_folder_was_renamed(tmp_path):
    (tmp_path / "run").mkdir()
    lines = storage.Lines(tmp_path / "run" / "metrics.jsonl")
    lines.write(b"one\n")
    (tmp_path / "run").rename(tmp_path / "moved")
    lines.write(b"two\n")
    lines.close()
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "moved" / "metrics.jsonl").read_bytes() == b"one\n"
