"""A line while something takes long, none where it does not."""

import io
import time

from m3i_jax.training import waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_what_takes_long_is_said_in_place_or_in_lines():
    for stream, start in ((Terminal(), "\rcompiling, 0 s"), (io.StringIO(), "compiling, 0 s\n")):
        with waiting.live(lambda: "compiling", stream=stream, quiet=0.02):
            time.sleep(0.1)
        assert stream.getvalue().startswith(start) and "compiling: 0.1 s" in stream.getvalue()
    quick = io.StringIO()
    with waiting.live("compiling", stream=quick, quiet=5.0):
        pass
    assert quick.getvalue() == ""


def test_what_has_nothing_to_say_is_silent():
    stream = Terminal()
    with waiting.ticking(lambda: "", stream, quiet=0.01):
        time.sleep(0.05)
    assert stream.getvalue() == ""
