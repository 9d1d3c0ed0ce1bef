import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from m3i_jax.training.signals import EXIT_PREEMPTED, Preemption


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
from m3i_jax.training.signals import EXIT_PREEMPTED, Preemption
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
def test_a_process_leaves_with_its_code_and_at_once_on_the_second_signal(manner, code):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, manner], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "asked\n"
    if manner == "stuck":
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == code
    process.stdout.close()


def test_exit_code():
    assert EXIT_PREEMPTED == 75
