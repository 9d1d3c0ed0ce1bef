"""Processes that notice each other's end, and steps that do not end."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.parallel import processes
from m3i_jax.training.loop import StepInfo
from tests.two_processes import as_two


class Store:
    """A key-value store of one process; `broken` is one whose coordinator is gone."""

    def __init__(self):
        self.values, self.broken = {}, False

    def key_value_set(self, key, value, overwrite):
        assert overwrite
        if self.broken == "stopped":
            time.sleep(1.0)
        elif self.broken:
            raise RuntimeError("UNAVAILABLE: connection ref")
        self.values[key] = value

    def key_value_dir_get(self, folder):
        return [(key, value) for key, value in self.values.items() if key.startswith(folder)]


class Peers:
    """Process 0 and its peers' beats, in one thread each."""

    def __init__(self, count, *, silent=0.4):
        self.silent = silent
        self.store, self.told, self.stops = Store(), {}, [threading.Event() for _ in range(count)]
        self.threads = [
            threading.Thread(target=self._beat, args=(rank, count), daemon=True)
            for rank in range(count)
        ]

    def _beat(self, rank, count):
        def leave(sentence):
            self.told[rank] = sentence

        how = dict(me=rank, count=count, pause=0.02, silent=self.silent, leave=leave)
        processes.beat(self.store, self.stops[rank], **how)


def test_a_peer_that_never_beats_is_named():
    peers = Peers(3)
    start = time.monotonic()
    for rank in (0, 2):
        peers.threads[rank].start()
    for rank in (0, 2):
        peers.threads[rank].join(10)
        assert "process 1 of 3 has been silent for" in peers.told[rank]
    assert 0.4 <= time.monotonic() - start < 5


def test_peers_that_beat_or_have_ended_are_left_alone_and_a_dead_store_is_said():
    peers = Peers(2)
    for thread in peers.threads:
        thread.start()
    time.sleep(0.2)
    peers.stops[1].set()
    peers.threads[1].join(10)
    time.sleep(0.8)
    assert peers.told == {} and peers.threads[0].is_alive()
    assert peers.store.values[processes.BEATS + "1"] == processes.DONE
    peers.store.broken = True
    peers.threads[0].join(10)
    assert peers.told == {0: "the coordinator, process 0, is gone (UNAVAILABLE: connection ref)"}


def test_a_peer_that_says_it_has_failed_is_named_at_once():
    peers = Peers(2, silent=60.0)
    processes._say_failed(peers.store, 1)
    start = time.monotonic()
    peers.threads[0].start()
    peers.threads[0].join(10)
    assert peers.told == {0: "process 1 of 2 has ended with an error, see what it said"}
    assert time.monotonic() - start < 10.0, "before it would have been silent for too long"


def test_a_coordinator_that_does_not_answer_is_said():
    peers = Peers(1)
    peers.store.broken = "stopped"
    peers.threads[0].start()
    time.sleep(0.7)
    assert peers.told == {0: "the coordinator, process 0, has been silent for 0.4 s"}
    peers.stops[0].set()


def test_a_step_that_does_not_end_is_noticed_and_what_is_done_between_steps_is_not():
    told = []
    dog = processes.Watchdog(longest=0.2, leave=told.append)
    steps = [StepInfo(step, 9, [], None, None, {}, 0.0, step == 9) for step in range(1, 10)]
    for info in steps[:3]:
        dog.rest(info)
        time.sleep(0.3 if info.step == 2 else 0.0)  # a checkpoint, a probe
        dog.watch(info)
        time.sleep(0.02)
    assert told == []
    for _ in range(100):  # ten times the median step, which a busy machine makes longer
        if told:
            break
        time.sleep(0.05)
    assert len(told) == 1 and told[0].startswith("no step after 3 has ended for 0.")
    told.clear()
    dog.rest(steps[-1])
    dog.watch(steps[-1])
    time.sleep(0.4)
    assert told == [], "nobody waits for a step after the last one"


def test_a_step_may_take_ten_times_the_median_and_one_slow_step_changes_nothing(monkeypatch):
    now, allowed = [0.0], []

    class Timer:
        def __init__(self, seconds, *_):
            allowed.append(seconds)

        start = cancel = lambda self: None

    monkeypatch.setattr(processes.threading, "Timer", Timer)
    monkeypatch.setattr(processes.time, "monotonic", lambda: now[0])
    dog = processes.Watchdog()
    for seconds in (2.0, 40.0, 290.0, 50.0, 50.0):
        dog.watch(StepInfo(1, 9, [], None, None, {}, 0.0, False))
        now[0] += seconds
        dog.rest(None)
    # The medians before each: none, 2, 21, 40 and 45 s; by the longest it were 2900 for ever.
    assert allowed == [300, 300, 300, 400, 450]


def test_one_process_agrees_with_itself():
    assert processes.anywhere(True) and not processes.anywhere(False)
    assert processes.from_first(3, -1) == (3, -1)


def test_what_two_have_made_is_joined_by_its_numbers(monkeypatch):
    rows = [(n, (f"row {n}", np.arange(n))) for n in range(7)]

    def made(share):
        own = [row for row in reversed(rows) if row[0] % share.count in share.blocks]
        return processes.by_number(own[: 3 - share.blocks[0]], share)  # the second has fewer

    first, second = as_two(monkeypatch, made)
    assert [said for said, _ in first] == ["row 2", "row 3", "row 4", "row 5", "row 6"]
    np.testing.assert_equal(first, second)
    np.testing.assert_equal(first[2][1], np.arange(4))


def test_one_process_has_all_records():
    alone = processes.by_number([(2, "b"), (0, "a")], processes.own_share())
    assert alone == ["a", "b"] and processes.own_share().count == 1


PAIR = """
import sys, time
import numpy as np
from m3i_jax.build import ConfigError
from m3i_jax.parallel import processes
processes.SILENT = 4.0
port, rank = sys.argv[1], int(sys.argv[2])
processes.join(coordinator=f"127.0.0.1:{port}", processes=2, process=rank)
with processes.together():
    for step in range(10_000):
        processes.anywhere(False)
        if step == 5:
            print("ready", flush=True)
        time.sleep(0.02)
"""


@pytest.mark.parametrize(
    "error, is_one",
    [
        (jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllReduce failed"), True),
        (ValueError("UNKNOWN: Gloo AllGather failed: Connection reset by peer"), True),
        (ValueError("INVALID_ARGUMENT: a shape"), False),
        (ValueError("UNKNOWN"), False),
        (RuntimeError("UNKNOWN: it"), False),
    ],
)
def test_what_a_collective_raises_whose_peer_is_gone(error, is_one):
    assert processes._of_a_collective(error) == is_one


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_whose_peer_is_killed_or_stopped_ends_with_a_sentence(victim, number):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", PAIR, port, str(rank)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for process in pair:
        assert "ready\n" in iter(process.stdout.readline, "")
    pair[victim].send_signal(number)
    start = time.monotonic()
    _, errors = pair[1 - victim].communicate(timeout=60)
    pair[victim].kill()
    pair[victim].communicate()
    assert pair[1 - victim].returncode == processes.GONE, errors[-2000:]
    assert time.monotonic() - start < 30
    said = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(said) == 1 and "the last checkpoint stays" in said[0]
    assert f"process {victim} of 2 has been silent" in said[0]


@pytest.mark.parametrize(
    "name, value, refused",
    [
        ("SLURM_JOB_NUM_NODES", "2", True),
        ("SLURM_JOB_NUM_NODES", "1", False),
        ("TPU_WORKER_HOSTNAMES", "t1v-0,t1v-1", True),
        ("TPU_WORKER_HOSTNAMES", "t1v-0", False),
        ("MEGASCALE_NUM_SLICES", "4", True),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1:1234", "localhost:1234", "[::1]:1234", "node0:1234"])
def test_a_loopback_is_no_coordinator_of_several_machines(name, value, refused, host, monkeypatch):
    for known, _ in processes.HOSTS:
        monkeypatch.delenv(known, raising=False)
    monkeypatch.setenv(name, value)
    if refused and host != "node0:1234":
        with pytest.raises(ConfigError, match=f"this machine alone, but {name} says"):
            processes._check_reach(host)
    else:
        processes._check_reach(host)
    processes._check_reach(None)


def test_who_is_not_joined_is_waited_for_with_a_word_and_then_left(monkeypatch, capsys):
    told = []
    monkeypatch.setattr(processes, "leave", told.append)
    monkeypatch.setattr(processes, "TELL", 0.1)
    with processes._waiting(0.35, "a:1"):
        time.sleep(0.8)
    assert told[0].startswith("the others have not joined at a:1 within 0.35 s")
    assert "waiting for the others at a:1, 0 s" in capsys.readouterr().err
    told.clear()
    with processes._waiting(0.2, None):
        pass
    time.sleep(0.4)
    assert told == []


CLUSTERS = {
    "slurm": {
        "SLURM_JOB_ID": "{job}", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2",
        "SLURM_PROCID": "{rank}", "SLURM_LOCALID": "{rank}", "SLURM_JOB_NUM_NODES": "1",
    },
    "open mpi": {
        "OMPI_MCA_orte_hnp_uri": "{mpi}.0;tcp://127.0.0.1:34911", "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "{rank}", "OMPI_COMM_WORLD_LOCAL_RANK": "{rank}",
    },
}  # fmt: skip
FOUND = """
import numpy as np
from m3i_jax.build import ConfigError
from m3i_jax.parallel import processes
processes.join(patience=60)
import jax
me = jax.process_index()
joined = processes.by_number([(1 - me, "ab"[me] * (me + 1))], processes.own_share())
print(me, jax.process_count(), processes.gathered(np.asarray([me])).tolist(), joined)
jax.distributed.shutdown()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", CLUSTERS)
def test_the_others_are_found_by_what_the_scheduler_says(name):
    job = os.getpid()
    pair = []
    for rank in (0, 1):
        said = dict(job=job, rank=rank, mpi=(job % 4096) * 4096)
        extra = {key: value.format(**said) for key, value in CLUSTERS[name].items()}
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **extra}
        environment["XLA_FLAGS"] = ""
        line = [sys.executable, "-c", FOUND]
        pair.append(subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True))
    for rank, process in enumerate(pair):
        assert f"{rank} 2 [0, 1] ['bb', 'a']" in process.communicate(timeout=120)[0]
