"""Processes that are started, watched and ended together."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.parallel import launching
from m3i_jax.parallel.launching import End, Place

ALL = Place({}, ())


def launched(script, *, processes=2, **how):
    """How `processes` of a script end, which is told its rank, and what the launcher says."""
    told = []
    own = lambda index: [str(index)]  # noqa: E731
    of = [ALL] * processes
    end = launching.launch([sys.executable, "-c", script], own, of, tell=told.append, **how)
    return end, told


def test_all_that_end_well_end_well_and_lines_of_others_have_their_rank(capfd):
    end, told = launched("import sys; print('I am', sys.argv[1])", processes=3)
    assert end == End(0, 0, False) and told == []
    lines = sorted(capfd.readouterr().out.splitlines())
    assert lines == ["I am 0", "[1] I am 1", "[2] I am 2"]


def test_the_first_that_fails_by_itself_gives_the_status(tmp_path):
    """Process 1 fails; process 0 notices, and leaves as those leave that others have left."""
    place = tmp_path / "failing"
    place.with_suffix(".new").write_text("")
    end, told = launched(f"""
import os, sys, time
if sys.argv[1] == "1":
    os.replace("{place}.new", "{place}")
    sys.exit(65)
while not os.path.exists("{place}"):
    time.sleep(0.01)
time.sleep(2)
sys.exit({launching.PEER_GONE})
""")
    assert end == End(65, 1, False)
    # On a busy machine both ends may be seen at once, and nobody is left to be told of.
    assert told in (["process 1 of 2 has ended with 65"], [])


def test_one_that_a_signal_ended_has_the_status_of_a_shell():
    end, _ = launched("import os, sys, time\nif sys.argv[1] == '0': os.kill(os.getpid(), 9)")
    assert end == End(128 + 9, 0, False)


# Process 0 ends with a status once the other one is as the test wants it, however slow its start.
BOTH = """
import os, pathlib, signal, sys, time
ready = pathlib.Path({ready!r})
if sys.argv[1] == "0":
    while not ready.exists():
        time.sleep(0.05)
    time.sleep(0.5)
    sys.exit({status})
{first}
ready.touch()
{then}
"""


def test_what_stays_is_asked_and_then_killed(tmp_path):
    first, then = "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "time.sleep(600)"
    deaf = BOTH.format(ready=str(tmp_path / "ready"), status=1, first=first, then=then)
    start = time.monotonic()
    end, told = launched(deaf, grace=1.0, hurry=0.5)
    assert end == End(1, 0, False), "the cause, and not what the launcher did of it"
    assert told[0] == "process 0 of 2 has ended with 1"
    assert told[1:] == ["process 1 stays: asked to leave", "process 1 stays: killed"]
    assert time.monotonic() - start < 60


def test_a_stopped_process_is_ended_too(tmp_path):
    then = "os.kill(os.getpid(), signal.SIGSTOP)"
    stopped = BOTH.format(ready=str(tmp_path / "ready"), status=69, first="", then=then)
    end, told = launched(stopped, grace=0.5, hurry=0.3)
    assert end == End(69, 0, False) and told[-1] == "process 1 stays: killed"


LAUNCHER = """
import sys
from m3i_jax.parallel import launching
place = launching.Place({}, ())
end = launching.launch(sys.argv[1:], lambda index: [str(index)], [place] * 2)
print(end)
sys.exit(end.status)
"""
SAVES = """
import os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[1])
def saved(number, frame):
    (place / f"saved{sys.argv[2]}").write_text(str(number)); sys.exit(75)
signal.signal(signal.SIGTERM, saved); signal.signal(signal.SIGINT, saved)
(place / f"ready{sys.argv[2]}").write_text(str(os.getpid()))
time.sleep(600)
"""


def begun(tmp_path, script):
    """A launcher in a process of its own, whose two processes are there."""
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    ready = [tmp_path / f"ready{rank}" for rank in range(2)]
    _wait(lambda: all(path.exists() and path.read_text() for path in ready))
    return launcher, [int(path.read_text()) for path in ready]


def _wait(done, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_saved_processes_are_waited_for(tmp_path, number):
    launcher, _ = begun(tmp_path, SAVES)
    launcher.send_signal(number)
    out, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 75 and "asked=True" in out
    for rank in range(2):
        assert (tmp_path / f"saved{rank}").read_text() == str(int(number))


@pytest.mark.skipif(sys.platform != "linux", reason="a process learns of its parent's end on Linux")
def test_nothing_outlives_a_launcher_that_is_killed(tmp_path):
    launcher, children = begun(tmp_path, SAVES)
    launcher.kill()
    launcher.communicate()
    _wait(lambda: all((tmp_path / f"saved{rank}").exists() for rank in range(2)))
    _wait(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children))


def test_gpus_and_cores_are_dealt_out_once(monkeypatch):
    monkeypatch.setattr(launching, "_usable", lambda: set(range(9)))
    of = launching.places(2, devices=None, visible=["4", "5", "6", "7"])
    assert [one.variables for one in of] == [
        {"CUDA_VISIBLE_DEVICES": "4,5"},
        {"CUDA_VISIBLE_DEVICES": "6,7"},
    ]
    assert [one.cores for one in of] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    (one,) = launching.places(1, devices=3, visible=["4", "5", "6", "7"])
    assert one.variables == {"CUDA_VISIBLE_DEVICES": "4,5,6"}
    assert {place.cores for place in launching.places(16, devices=1, visible=[])} == {()}


def test_without_gpus_devices_are_simulated_beside_the_flags_that_are_there(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_foo=1")
    (one,) = launching.places(1, devices=4, visible=[])
    assert one.variables == {"XLA_FLAGS": "--xla_foo=1 --xla_force_host_platform_device_count=4"}
    assert launching.places(1, devices=None, visible=[])[0].variables == {}


@pytest.mark.parametrize(
    "processes, devices, words",
    [(3, None, "4 accelerators are no equal shares of 3"), (2, 3, "want 6; here are 4")],
)
def test_more_gpus_than_there_are_are_refused(processes, devices, words):
    with pytest.raises(ConfigError, match=words):
        launching.places(processes, devices=devices, visible=["0", "1", "2", "3"])


def test_which_gpus_there_are_is_what_cuda_says(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, GPU-1a")
    assert launching.accelerators() == ["3", "GPU-1a"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert launching.accelerators() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert launching.accelerators() == []


def test_output_of_many_lines_does_not_stop_a_process(capfd):
    """Pipes are read while the processes run: 2 MB would not fit into one."""
    end, _ = launched("import sys; print('x' * 1_000_000); print('y' * 1_000_000)")
    assert end.status == 0 and threading.active_count() < 50
    assert capfd.readouterr().out.count("x") == 2_000_000
