"""A web server of a folder, as mirrors and stores are: parts of files, tags, lists, failures."""

import collections
import contextlib
import hashlib
import http.server
import re
import threading
import urllib.parse
from pathlib import Path


class Served:
    """What was asked for, and what is to go wrong with the next requests."""

    def __init__(self, url):
        self.url, self.asked, self.failures = url, [], collections.deque()
        self.ranges = True


@contextlib.contextmanager
def serving(folder):
    """Serves a folder on 127.0.0.1 meanwhile."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            path = Path(folder) / urllib.parse.unquote(self.path).strip("/")
            served.asked.append((self.command, self.path, self.headers.get("Range")))
            wrong = served.failures.popleft() if body and served.failures else None
            if isinstance(wrong, int) or not path.exists():
                return self.send(b"", wrong or 404)
            if path.is_dir():
                names = (p.name + "/" * p.is_dir() for p in sorted(path.iterdir()))
                page = "".join(f'<a href="{name}">{name}</a>' for name in names).encode()
                return self.send(page, 200, kind="text/html", body=body)
            data, status = path.read_bytes(), 200
            tag = hashlib.md5(data).hexdigest()
            span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if span and served.ranges:
                data, status = data[int(span[1]) : int(span[2] or len(data)) + 1], 206
            self.send(data, status, body=body, tag=tag, cut=wrong == "cut")

        def send(self, data, status, *, body=True, tag="", kind="image/x", cut=False):
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Content-Type", kind)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("ETag", tag)
            self.end_headers()
            if body:
                self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = self.close_connection or cut

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Served(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
