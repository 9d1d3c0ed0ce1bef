"""Files behind URLs, by fsspec, which only this file knows: https://filesystem-spec.readthedocs.io.

What lies there is listed once, and read by ranges. What fails for a moment is tried again, which
the log says; a request that takes longer than `TIMEOUT` has failed, too. Each thread may read:
fsspec has an instance for each of them, or one that they may share.
"""

import collections
import errno
import functools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from logging import getLogger
from typing import Any, NamedTuple, TypeVar

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.inside import LARGEST, Inside, Status

LOG = getLogger(__name__)
T = TypeVar("T")
TRIES = 5  # of a request, 15 s in all where each fails at once
WAIT = 1.0  # seconds before the second one; twice as long before each further one, ± a half
TIMEOUT, LISTING = 60.0, 3600.0  # seconds for an answer: of a part of a file, of a list
THREADS = 16  # that ask for sizes where a list has none: most of the time is the network's
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError,
         NotImplementedError, TypeError, ValueError, ImportError)  # fmt: skip
AGAIN = (408, 425, 429)  # answers of HTTP below 500 that are not for ever
TAGS = ("ETag", "etag", "md5Hash", "content_md5", "crc32c", "Content-MD5", "generation")
TIMES = ("mtime", "LastModified", "last_modified", "updated", "created", "Last-Modified")
MAGIC = frozenset("*?[")
PACKAGES = {
    "gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs", "http": "aiohttp",
    "https": "aiohttp", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs", "hf": "huggingface_hub",
}  # fmt: skip


class File(NamedTuple):
    """What a store says of a file; time in nanoseconds, 0 = nothing, and its tag, "" = none."""

    size: int
    time: int = 0
    tag: str = ""


class Store:
    """The files below a URL, as they were when it was listed; see `inside.Container`."""

    def __init__(self, where: str, files: Mapping[str, File]):
        """files: by name, from `where` on."""
        self.where, self.left_out = where.rstrip("/"), collections.Counter()
        self.files: dict[str, File] = {}
        self.folders: dict[str, dict[str, None]] = {"": {}}
        for name, file in sorted(files.items()):
            parts = name.split("/")
            if any(part in ("", ".", "..") for part in parts):
                self.left_out["name that leads elsewhere"] += 1
                continue
            self.files[name] = file
            for depth in range(len(parts)):
                self.folders.setdefault("/".join(parts[:depth]), {})[parts[depth]] = None

    def status(self, name: str) -> Status:
        """What the list said of a file."""
        file = self.files[name]
        return Status(file.size, file.time, self.where, hash(name), tag=file.tag)

    def read(self, name: str, *, most: int = LARGEST) -> bytes:
        """The first `most` bytes of a file."""
        return self.at(name, 0, min(most, self.files[name].size))

    def at(self, name: str, offset: int, size: int) -> bytes:
        """The `size` bytes of a file from `offset` on, or as many as there are.

        Raises:
          OSError: the store does not give them.
        """
        url, there = f"{self.where}/{name}", self.files[name].size
        size = min(size, there - offset)
        if size <= 0 or offset < 0:
            return b""

        def part() -> bytes:
            data = _asked(url, "cat_file", start=offset, end=offset + size)
            if len(data) > size:
                raise NotImplementedError("the server sends whole files and no parts of them")
            if len(data) < size:
                raise OSError(errno.EIO, f"{len(data)} of {size} bytes came")
            return data

        return _persistent(url, part)


def folder(url: str) -> Inside:
    """All that lies below a URL.

    Raises:
      ConfigError: what reads such URLs is not installed, or nothing is there or can be listed.
    """
    _filesystem(url)
    top = url.rstrip("/")
    found = _found(url, lambda: _asked(top, "find", detail=True, timeout=LISTING))
    if not (store := _store(top, found)).files:
        raise ConfigError(f"nothing lies below '{url}'")
    return Inside(store, "")


def matching(url: str) -> list[Inside]:
    """The files behind a URL, or behind one with * and ? in its last part, by name; [] of none.

    Raises:
      ConfigError: as of `folder`.
    """
    _filesystem(url)
    top, _, name = url.rpartition("/")
    if MAGIC & set(top):
        raise ConfigError(f"'{url}': of a URL only the last part may have * or ?")
    found = _found(url, lambda: _matched(url, magic=bool(MAGIC & set(name))))
    store = _store(top, found)
    return [Inside(store, name) for name in store.files]


def present(urls: Sequence[str]) -> dict[str, list[Inside]]:
    """What is `matching` each of these URLs; many are asked for at once."""
    with ThreadPoolExecutor(THREADS, thread_name_prefix="m3i-list") as pool:
        return dict(zip(urls, pool.map(matching, urls), strict=True))


def _matched(url: str, *, magic: bool) -> dict[str, Any]:
    if magic:
        return _asked(url, "glob", detail=True, timeout=LISTING)
    info = _asked(url, "info")
    return {info["name"]: info} if info["type"] == "file" else {}


def _found(url: str, ask: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """What a list has; nothing where there is no such place."""
    try:
        return _persistent(url, ask)
    except FileNotFoundError:
        return {}
    except Exception as error:  # libraries of stores raise what they like
        raise ConfigError(f"cannot list '{url}': {_reason(error)}") from error


def _store(top: str, found: Mapping[str, Any]) -> Store:
    """The files of a list, whose sizes are asked for where it has none."""
    start = _stripped(top).rstrip("/") + "/"
    infos = {n.removeprefix(start): i for n, i in found.items() if i.get("type") != "directory"}
    if unsized := [name for name, info in infos.items() if info.get("size") is None]:
        with ThreadPoolExecutor(THREADS, thread_name_prefix="m3i-list") as pool:
            ask = lambda name: _found(name, lambda: _asked(f"{top}/{name}", "info"))  # noqa: E731
            infos |= dict(zip(unsized, pool.map(ask, unsized), strict=True))
    if lacking := next((name for name, info in infos.items() if info.get("size") is None), None):
        raise ConfigError(f"cannot read '{top}/{lacking}': its server does not say its size")
    return Store(top, {name: _file(info) for name, info in infos.items()})


def _file(info: Mapping[str, Any]) -> File:
    said = next((info[key] for key in TIMES if info.get(key)), 0)
    seconds = said.timestamp() if hasattr(said, "timestamp") else said
    moment = int(seconds * 1e9) if isinstance(seconds, int | float) else 0
    tag = next((str(info[key]) for key in TAGS if info.get(key)), "")
    return File(int(info["size"]), moment, tag)


def _filesystem(url: str) -> tuple[Any, str]:
    """What reads a URL, of this thread or of all, and what it calls the URL's place.

    Raises:
      ConfigError: it is not installed, or there is nothing that does.
    """
    try:
        from fsspec.core import url_to_fs

        return url_to_fs(url)
    except ImportError as error:
        if (getattr(error, "name", None) or "").split(".")[0] == "fsspec":
            package = "fsspec, which is not installed: pip install 'm3i_jax[remote]'"
        else:
            package = PACKAGES.get(url.partition(":")[0].lower(), "")
            package = f"{package}, which is not installed: pip install {package}" if package else ""
        raise ConfigError(f"'{url}' needs {package or error}") from error
    except ValueError as error:
        raise ConfigError(f"'{url}' cannot be read: {error}") from error


def _stripped(url: str) -> str:
    return _filesystem(url)[1]


def _asked(url: str, method: str, *, timeout: float = TIMEOUT, **arguments: Any) -> Any:
    """One request; of stores that fsspec reads asynchronously none lasts longer than `timeout`."""
    from fsspec.asyn import sync

    store, path = _filesystem(url)
    if not store.async_impl:
        return getattr(store, method)(path, **arguments)
    call = functools.partial(getattr(store, f"_{method}"), path, **arguments)
    return sync(store.loop, call, timeout=timeout)


def _persistent(url: str, call: Callable[[], T]) -> T:
    """What a call gives, which is tried again where it fails for a reason that may pass.

    Raises:
      OSError: it failed to the last.
    """
    for number in range(1, TRIES + 1):
        try:
            return call()
        except Exception as error:
            if _final(error):
                raise
            why = _reason(error)
            if number == TRIES:
                raise OSError(errno.EIO, f"{why}, {TRIES} times", url) from error
            LOG.warning("%s: %s; try %d of %d follows", url, why, number + 1, TRIES)
            time.sleep(WAIT * 2 ** (number - 1) * random.uniform(0.5, 1.5))
    raise AssertionError


def _final(error: Exception) -> bool:
    """Whether it would fail again: what is not there, or not allowed. That of HTTP misses a file,
    too, where the server failed or was not to be reached."""
    cause = error.__cause__
    status = getattr(error, "status", None) or getattr(cause, "status", None)
    if isinstance(status, int):
        return status < 500 and status not in AGAIN
    failed = isinstance(cause, OSError | TimeoutError) or type(cause).__module__.startswith("aio")
    return isinstance(error, FINAL) and not failed


def _reason(error: Exception) -> str:
    """Such as "TimeoutError" or "503, message='Service Unavailable'"."""
    if isinstance(error.__cause__, Exception) and isinstance(error, FileNotFoundError):
        error = error.__cause__
    words = getattr(error, "strerror", None) or str(error)
    return words.splitlines()[0] if words else type(error).__name__
