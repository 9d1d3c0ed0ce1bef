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

from m3i_jax.parallel import signals
from m3i_jax.parallel.signals import EXIT_PREEMPTED, Preemption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_sets_the_flag_and_handlers_come_back(number, capfd):
    before = signal.getsignal(number)
    with Preemption() as asked:
        assert not asked.requested and not asked.agreed()
        os.kill(os.getpid(), number)
        assert asked.requested and asked.agreed()
    assert signal.getsignal(number) is before
    assert signal.Signals(number).name in capfd.readouterr().err


PROGRAM = """
import os, signal, sys, time
from m3i_jax.parallel.signals import EXIT_PREEMPTED, Preemption
with Preemption() as asked:
    print("ready", flush=True)
    while not asked.requested:
        time.sleep(0.01)
    print("asked", flush=True)
    if sys.argv[1] == "polite":
        sys.exit(EXIT_PREEMPTED)
    time.sleep(60)
"""


@pytest.mark.parametrize("manner, code", [("polite", EXIT_PREEMPTED), ("stuck", 128 + 15)])
def test_a_process_leaves_with_its_code_and_at_once_on_a_signal_a_second_behind(manner, code):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, manner], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "asked\n"
    if manner == "stuck":
        process.send_signal(signal.SIGTERM)  # of the first one, as `timeout` sends it
        time.sleep(signals.SAME + 0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == code
    process.stdout.close()


BUSY = """
import hashlib, os, signal, sys, threading
if sys.argv[1] == "handled":
    signal.signal(signal.SIGINT, lambda *of: os._exit(3))
from m3i_jax.parallel.signals import Preemption
with Preemption(holds=sys.argv[1] == "holds"):
    # Said by another thread when this one is in C; before, Python would meet the signal itself.
    threading.Timer(1.0, print, ("ready",), dict(flush=True)).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in C, as a compilation is
"""


@pytest.mark.parametrize(
    "state, sent, code, said",
    [
        ("free", [signal.SIGTERM], EXIT_PREEMPTED, "there is nothing to save"),
        ("free", [signal.SIGINT] * 2, 128 + 2, "SIGINT again: leaving at once"),
        ("handled", [signal.SIGINT], 3, ""),
        ("holds", [signal.SIGTERM] * 2, 128 + 15, "SIGTERM again: leaving at once"),
    ],
)
def test_signals_are_met_while_the_main_thread_is_in_c(state, sent, code, said):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY, state],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    start = time.monotonic()
    for number in sent:
        process.send_signal(number)
        time.sleep(signals.SAME + 0.1 if len(sent) > 1 else 0)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code and said in errors
    assert time.monotonic() - start < 5


def test_an_interrupt_where_there_is_nothing_to_save_is_one_of_python_s(capfd):
    with pytest.raises(KeyboardInterrupt):
        with Preemption(holds=False):
            os.kill(os.getpid(), signal.SIGINT)
    with Preemption(holds=False) as asked:
        asked.hold(None)
        os.kill(os.getpid(), signal.SIGINT)
        assert asked.requested
    assert "leaving after this step and a checkpoint" in capfd.readouterr().err


def test_an_interrupt_where_there_is_nothing_to_save_is_for_the_handler_of_a_program():
    heard = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *of: heard.set())
    try:
        with Preemption(holds=False) as outer, Preemption(holds=False) as inner:
            os.kill(os.getpid(), signal.SIGINT)
            assert heard.is_set() and not outer.requested and not inner.requested
        heard.clear()
        with Preemption(holds=False) as asked:
            asked.hold(None)
            os.kill(os.getpid(), signal.SIGINT)
            assert asked.requested and not heard.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


def test_only_a_process_that_is_alone_leaves_in_the_middle_of_something(monkeypatch):
    asked = Preemption()
    assert not asked.at_once()
    asked.requested = True
    assert asked.at_once()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert not asked.at_once()


@pytest.mark.parametrize("period, pace, fewest", [(0.2, 0.01, 4), (0.01, 0.05, 1)])
def test_processes_agree_on_a_step_and_ask_each_other_rarely(monkeypatch, period, pace, fewest):
    """Three threads play processes of uneven speed; the gathering is a barrier, as the real one."""
    steps, count = 60, 3
    told, barrier = [None] * count, threading.Barrier(count)
    asked_at = [[] for _ in range(count)]
    left_at = [None] * count
    mine = threading.local()

    def gather(value):
        barrier.wait(30)
        told[mine.rank] = value
        asked_at[mine.rank].append(mine.step)
        barrier.wait(30)
        return np.stack(told)

    monkeypatch.setattr(jax, "process_count", lambda: count)
    monkeypatch.setattr(signals.multihost_utils, "process_allgather", gather)
    monkeypatch.setattr(signals, "PERIOD", period)

    def play(rank):
        mine.rank, asked = rank, Preemption()
        for mine.step in range(steps):
            asked.requested = rank == 1 and mine.step >= 40  # nobody else gets a signal
            if asked.agreed():
                break
            time.sleep(pace * (1 + 0.2 * rank))
        left_at[rank] = mine.step

    players = [threading.Thread(target=play, args=(rank,)) for rank in range(count)]
    for player in players:
        player.start()
    for player in players:
        player.join(60)
    assert asked_at[0] == asked_at[1] == asked_at[2], "they would wait for each other for ever"
    assert left_at[0] == left_at[1] == left_at[2] == asked_at[0][-1]
    gaps = np.diff(asked_at[0])
    assert np.median(gaps) >= fewest and gaps.max() * pace <= 1.5 * max(period, pace)
    assert 40 <= left_at[0] <= 40 + gaps.max()


PAIR = """
import sys, time
import jax
port, rank = sys.argv[1], int(sys.argv[2])
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
from m3i_jax.parallel.signals import Preemption
with Preemption() as asked:
    for step in range(100_000):
        if asked.agreed():
            break
        if step == 20:
            print("ready", flush=True)
        time.sleep(0.005)
print(step, flush=True)
jax.distributed.shutdown()
"""


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_step():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", PAIR, port, str(rank)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for process in pair:
        assert "ready\n" in iter(process.stdout.readline, "")  # after what the transport prints
    time.sleep(0.5)
    pair[1].send_signal(signal.SIGTERM)
    sent = time.monotonic()
    steps = [int(process.stdout.readline()) for process in pair]
    # A period, and what a busy machine takes on top.
    assert steps[0] == steps[1] > 20 and time.monotonic() - sent < 10
    for process in pair:
        assert process.wait(timeout=60) == 0
        process.stdout.close()


def test_exit_code():
    assert EXIT_PREEMPTED == 75
