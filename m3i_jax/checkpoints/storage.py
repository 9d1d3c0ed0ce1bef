"""Files that survive a crash: atomic writes, sealed directories, and a lock against a second run.

A directory is *sealed* by a manifest, written last, that holds the size and SHA-256 of every file
in it and a digest of itself. Formats at rest carry no checksum of the data, so without a seal one
flipped bit comes back as a wrong number and no error.
"""

import concurrent.futures
import contextlib
import fcntl
import functools
import hashlib
import json
import logging
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import jsonfile, ordinary
from m3i_jax.checkpoints.faults import Damage, Locked, Unwritable

LOG = logging.getLogger(__name__)
MANIFEST = "manifest.json"
FORMAT = 1


@contextlib.contextmanager
def writing(path: Path, *, instead: str = "another folder") -> Iterator[None]:
    """Makes an OSError of its block a sentence about `path`, which was to be written.

    instead: what the user can say in its place.

    Raises:
      Unwritable: the disk is full, read-only, or not there.
    """
    try:
        yield
    except Unwritable:
        raise
    except OSError as error:
        raise Unwritable(
            f"'{path}' cannot be written: {error.strerror or error}; make room for it, or take "
            f"{instead}"
        ) from error


def publish(path: Path, data: bytes) -> None:
    """Writes `path` so that a crash leaves the old content or the new one, never a part.

    A pipe of that name, which has no content, gives way.
    """
    if (path := Path(path)).is_fifo():
        path.unlink()
    ordinary.written(path, data, sync=True)
    sync_directory(path.parent)


class Lines:
    """A file that lines are appended to, each in one write where the disk has room for it.

    What could not be written is written before the next line; a file that was deleted, or moved
    away with its folder, comes back with all that was in it.
    """

    def __init__(self, path: Path):
        self._path, self._owed = path, b""
        self._open()

    def write(self, line: bytes) -> None:
        """Appends a line; OSError where that has to wait for the next one."""
        self._owed += line
        if os.fstat(self._file).st_nlink == 0 or not os.path.lexists(self._path):
            self._bring_back()
        while self._owed:
            self._owed = self._owed[os.write(self._file, self._owed) :]

    def close(self) -> None:
        """Closes the file, after one more try at what is owed."""
        with contextlib.suppress(OSError):
            self.write(b"")
        os.close(self._file)

    def _open(self) -> None:
        self._file = ordinary.opened(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT)

    def _bring_back(self) -> None:
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        publish(self._path, content)
        os.close(self._file)
        self._open()


def sync_directory(path: Path) -> None:
    """Makes the names inside a directory durable, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def digest(path: Path, *, sync: bool = False) -> str:
    """SHA-256 of a file as hex; with `sync` the file is also made durable."""
    with open(ordinary.opened(path, os.O_RDONLY), "rb") as file:
        if sync:
            os.fsync(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest()


def rename(source: Path, target: Path) -> None:
    """Moves a directory in one step and makes the move durable."""
    os.rename(source, target)
    sync_directory(target.parent)


def remove(path: Path) -> None:
    """Deletes a directory; it loses its name first, so no half of it is ever found."""
    if path.exists():
        doomed = path if ".removed" in path.name else path.with_name(path.name + ".removed")
        if doomed != path:
            shutil.rmtree(doomed, ignore_errors=True)
            os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def free(path: Path) -> int:
    """Bytes that can still be written to the file system of `path`."""
    return shutil.disk_usage(path).free


class Storage(NamedTuple):
    """What a checkpoint asks of a disk, as functions; a test passes ones that fail."""

    publish: Callable[[Path, bytes], None] = publish
    digest: Callable[..., str] = digest
    rename: Callable[[Path, Path], None] = rename
    remove: Callable[[Path], None] = remove
    free: Callable[[Path], int] = free


def patient(storage: Storage, pauses: Sequence[float]) -> Storage:
    """A storage whose functions, after an OSError, wait and try again: once for every pause."""

    def again(act: Callable) -> Callable:
        def tried(*args: Any, **kwargs: Any) -> Any:
            for pause in pauses:
                try:
                    return act(*args, **kwargs)
                except OSError as error:
                    LOG.info("%s failed (%s); trying again in %g s", act.__name__, error, pause)
                    time.sleep(pause)
            return act(*args, **kwargs)

        return tried

    return Storage(*map(again, storage))


def in_background(work: Callable[[], None]) -> concurrent.futures.Future:
    """Runs `work` on a daemon thread, which a hung disk cannot make the process wait for."""
    future: concurrent.futures.Future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001, it is raised where the future is read
            future.set_exception(error)

    threading.Thread(target=run, name="checkpoint", daemon=True).start()
    return future


def seal(directory: Path, record: dict[str, Any], *, storage: Storage = Storage()) -> None:
    """Writes the manifest of `directory`: `record` and the digest of every file."""
    paths = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        digests = list(pool.map(lambda p: storage.digest(p, sync=True), paths))
    files = {
        str(path.relative_to(directory)): {"size": path.stat().st_size, "sha256": sha256}
        for path, sha256 in zip(paths, digests, strict=True)
    }
    body = {"format": FORMAT, **record, "files": files}
    for folder in {path.parent for path in paths}:
        sync_directory(folder)
    text = json.dumps({**body, "digest": _own_digest(body)}, indent=1)
    storage.publish(directory / MANIFEST, text.encode())


def read_seal(directory: Path) -> dict[str, Any]:
    """The manifest of a sealed directory.

    Raises:
      Damage: it is missing, cut short, or not the one that was written.
    """
    try:
        manifest = jsonfile.read(directory / MANIFEST)
        stated, version = manifest.pop("digest"), manifest["format"]
    except FileNotFoundError:
        raise Damage(f"{MANIFEST} is missing") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise Damage(f"{MANIFEST} cannot be read ({type(fault).__name__})") from fault
    if stated != _own_digest(manifest):
        raise Damage(f"{MANIFEST} has been changed since it was written")
    if version != FORMAT:
        raise Damage(f"{MANIFEST} has format {version}; this version reads {FORMAT}")
    _check_shape(manifest)
    return manifest


def _check_shape(manifest: dict[str, Any]) -> None:
    """Raises Damage unless the manifest describes files of its own directory, items and a meta."""
    for name in ("files", "items", "meta"):
        if not isinstance(manifest.get(name, {}), dict) or name == "files" and name not in manifest:
            raise Damage(f"{MANIFEST} has no {name}")
    for name, entry in manifest["files"].items():
        inside = not {"", ".", ".."} & set(name.split("/")) and name.isprintable()
        if not inside or "\0" in name:
            raise Damage(f"{MANIFEST} names a file of another place, {name[:80]!r}")
        sealed = isinstance(entry, dict) and type(entry.get("size")) is int
        if not sealed or not isinstance(entry.get("sha256"), str):
            raise Damage(f"{MANIFEST} does not say what {name} was")


def verify(
    directory: Path,
    *,
    within: tuple[str, ...] | None = None,
    contents: bool = True,
    storage: Storage = Storage(),
) -> dict[str, Any]:
    """The manifest, after comparing every file with it.

    Args:
      directory: a sealed directory.
      within: only the files at the top and in these sub-directories; None = all.
      contents: whether to read the files; sizes alone are compared otherwise.
      storage: how files are read.

    Raises:
      Damage: a file is missing, has another size, or other bytes.
    """
    manifest = read_seal(directory)
    files = {
        name: entry
        for name, entry in manifest["files"].items()
        if within is None or "/" not in name or name.split("/")[0] in within
    }
    for name, entry in files.items():
        try:
            size = (directory / name).stat().st_size
        except OSError:
            raise Damage(f"{name} is missing") from None
        if not (directory / name).is_file():
            raise Damage(f"{name} is no ordinary file")
        if size != entry["size"]:
            raise Damage(f"{name} has {size} bytes instead of {entry['size']}")
    if contents:
        _verify_digests(directory, files, storage)
    return manifest


def _verify_digests(directory: Path, files: dict[str, Any], storage: Storage) -> None:
    """Raises Damage for the first file whose bytes differ."""

    def differs(name: str) -> str | None:
        try:
            sha256 = storage.digest(directory / name)
        except OSError as fault:
            return f"{name} cannot be read ({fault})"
        return None if sha256 == files[name]["sha256"] else f"{name} has changed bytes (SHA-256)"

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for fault in pool.map(differs, files):
            if fault:
                raise Damage(fault)


def _own_digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def lock(path: Path) -> Iterator[Callable[[], bool]]:
    """Holds `path` for this process; a lock whose owner is dead is taken over.

    Gives a function that says whether it is still held: not once somebody has deleted the file.

    The kernel's advisory lock decides, so a killed run leaves nothing that blocks the next one;
    host and process number are in the file for people, and for workers that outlive their parent.

    Raises:
      Locked: a living process holds it.
    """
    descriptor = _acquire(path)
    try:
        yield functools.partial(_same_file, descriptor, path)
    finally:
        with contextlib.suppress(OSError):
            if _same_file(descriptor, path):  # and not one that another run holds by now
                path.unlink()
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether a process holds the `lock` of a path; nothing is made or waited for."""
    try:
        descriptor = ordinary.opened(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return not _dead(_owner(descriptor))
    finally:
        os.close(descriptor)
    return False


def _acquire(path: Path) -> int:
    """An open descriptor of `path` that holds its lock."""
    while True:
        descriptor = ordinary.opened(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = _owner(descriptor)
            os.close(descriptor)
            if not _dead(owner):
                who = f"process {owner[1]} on {owner[0]}" if owner else "another process"
                raise Locked(
                    f"{path.parent} is in use by {who}; two runs cannot write to one directory"
                ) from None
            path.unlink(missing_ok=True)
            continue
        if _same_file(descriptor, path):
            break
        os.close(descriptor)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps([socket.gethostname(), os.getpid()]).encode(), 0)
    return descriptor


def _owner(descriptor: int) -> tuple[str, int] | None:
    """(host, process) written in a lock file, if it can be read."""
    try:
        host, process = jsonfile.parse(os.pread(descriptor, 4096, 0))
        return str(host), int(process)
    except (OSError, ValueError, TypeError):
        return None


def _dead(owner: tuple[str, int] | None) -> bool:
    """Whether the owner ran on this host and has gone (its forked workers may still hold on)."""
    if owner is None or owner[0] != socket.gethostname():
        return False
    try:
        os.kill(owner[1], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _same_file(descriptor: int, path: Path) -> bool:
    """Whether the open file is still the one at `path` (another process may have replaced it)."""
    try:
        return os.fstat(descriptor).st_ino == os.stat(path).st_ino
    except OSError:
        return False
