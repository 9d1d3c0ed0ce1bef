"""The page on this machine: a server that answers with it, anew where its files have changed."""

import hashlib
import os
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from m3i_jax.analysis import finding
from m3i_jax.analysis.report import page
from m3i_jax.build import ConfigError
from m3i_jax.evaluation import results
from m3i_jax.training import log, starts

HOST = "127.0.0.1"  # nobody else can reach it
NAMES = (log.CONFIG, log.METRICS, starts.FILE, results.FILE, results.FORMER, finding.FILE)
FOLDERS = ("images", finding.FOLDER)


class Pages:
    """The newest page of some places; made when it is asked for and something has changed."""

    def __init__(self, places: Sequence[str | Path]):
        self._places = [Path(place) for place in places]
        self._lock, self._made = threading.Lock(), ("", b"")

    def version(self) -> str:
        """Another text as soon as a file of the page is another one."""
        seen = repr([_stamp(path) for place in self._places for path in _files(place)])
        return hashlib.sha256(seen.encode(errors="replace")).hexdigest()[:16]

    def newest(self) -> bytes:
        """The page as it is now; one that cannot be made, as a sentence."""
        with self._lock:
            version = self.version()
            if self._made[0] != version:
                self._made = version, page.page(self._places, follow=True).encode()
            return self._made[1]


def server(places: Sequence[str | Path], *, port: int = 0) -> ThreadingHTTPServer:
    """A server of the page on the loopback address; `serve_forever` starts it.

    It answers `/` with the page and `/state` with its version, to GET and HEAD, and nothing else:
    no file, no folder, no other host's name.

    port: 0 = any that is free.

    Raises:
      ConfigError: the port is taken, or there is nothing to show.
    """
    pages = Pages(places)
    pages.newest()  # what cannot be shown is said before anybody looks
    handler = type("Handler", (_Handler,), {"pages": pages})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise ConfigError(
            f"--port is {port}: {error.strerror}; expected one that is free"
        ) from error


class _Handler(BaseHTTPRequestHandler):
    """Answers with the page, to who has asked for this machine by its own name."""

    pages: Pages
    server_version, sys_version = "m3i", ""

    def do_GET(self) -> None:
        """The page, or its version."""
        self._answer()

    def do_HEAD(self) -> None:
        """The same without its content."""
        self._answer()

    def _answer(self) -> None:
        if not self._meant():
            return self._send(
                403, b"this page answers to 127.0.0.1 and localhost alone\n", "text/plain"
            )
        if self.path == "/state":
            return self._send(200, self.pages.version().encode(), "text/plain")
        if self.path != "/":
            return self._send(404, b"there is one page here: /\n", "text/plain")
        try:
            return self._send(200, self.pages.newest(), "text/html; charset=utf-8")
        except (ConfigError, OSError) as error:
            return self._send(503, f"{error}\n".encode(errors="replace"), "text/plain")

    def _meant(self) -> bool:
        """Whether the address is ours: another name that leads here may be a trick of a page."""
        name = self.headers.get("Host", "").rpartition(":")
        return (name[0] or name[2]) in (HOST, "localhost")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", page.policy(follow=True))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Says nothing: a page that follows a run asks every other second."""


def _files(place: Path) -> list[Path]:
    """What a page of a place is made of."""
    if not place.is_dir():
        return [place]
    return [place / name for name in (*NAMES, *FOLDERS)]


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes where a file or a folder does."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
