"""A headless Chromium, spoken to through a pipe: DevTools' protocol, no driver and no socket."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-extensions --hide-scrollbars"
    " --force-color-profile=srgb --remote-debugging-pipe"
).split()


def program():
    """The browser of this machine, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def started(folder):
    """A browser whose profile is in `folder`."""
    (theirs, ours), (read, write) = os.pipe(), os.pipe()
    words = [program(), *QUIET, f"--user-data-dir={folder}", "about:blank"]
    # Chromium reads its commands from descriptor 3 and answers on descriptor 4.
    line = f'exec "$@" 3<&{theirs} 4>&{write}'
    env = os.environ | {"HOME": str(folder)}
    how = dict(pass_fds=(theirs, write), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    process = subprocess.Popen(["bash", "-c", line, "bash", *words], env=env, **how)
    os.close(theirs), os.close(write)
    try:
        yield Browser(ours, read)
    finally:
        os.close(ours), os.close(read)
        process.terminate()
        process.wait(10)


class Browser:
    """One page at a time; what it says, asks for and complains of is kept."""

    def __init__(self, write, read):
        self._write, self._read, self._rest, self._count = write, read, b"", 0
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        how = dict(targetId=target, flatten=True)
        self._session = self.call("Target.attachToTarget", **how)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        """The answer to a command."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(60)
            if answer is None:
                raise TimeoutError(method)
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, url, *, width=1280, height=900, dark=False, media=""):
        """Shows a page as a device of a size and a taste would; print is a media, too."""
        self.events.clear()
        size = dict(width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.call("Emulation.setDeviceMetricsOverride", **size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 60
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            assert time.monotonic() < deadline, f"{url} does not load"
            self._next(1)

    def run(self, script):
        """The value of an expression in the page; what it promises is waited for."""
        how = dict(expression=script, returnByValue=True, awaitPromise=True)
        answer = self.call("Runtime.evaluate", **how)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key):
        """A key, down and up."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def point(self, x, y):
        """The pointer moves to a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, *, whole=False, kind="png", **how):
        """A screenshot, of the window or of the whole page."""
        how = dict(format=kind, captureBeyondViewport=whole, **how)
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            how["clip"] = dict(x=0, y=0, width=size["width"], height=size["height"], scale=1)
        return base64.b64decode(self.call("Page.captureScreenshot", **how)["data"])

    def printed(self):
        """The page as PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def complaints(self):
        """Errors and warnings of the console, and exceptions."""
        said = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
        return [event["params"] for event in self.events if event["method"] in said]

    def requests(self):
        """Addresses that the page asked for, but for itself and what is in it."""
        asked = [e for e in self.events if e["method"] == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in asked]
        return [url for url in urls[1:] if not url.startswith("data:")]

    def _next(self, seconds):
        """The next message; events are kept, None after `seconds` without one."""
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], seconds)[0]:
                return None
            self._rest += os.read(self._read, 1 << 20)
        line, _, self._rest = self._rest.partition(b"\0")
        message = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message
