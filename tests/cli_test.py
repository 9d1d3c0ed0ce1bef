"""Command lines are answered in sentences before jax is imported."""

import io
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import types

import pytest

from m3i_jax import cli

CONFIG = """
from ml_collections import ConfigDict

def get_config(argument="plain"):
    blocks = dict(augment=dict(), decoders=dict(image=dict(name="mlp", heads=2)))
    return ConfigDict(dict(optimizer=dict(lr=0.1), batch=4, argument=argument, **blocks))
"""
PROGRAM = """
from m3i_jax import cli, ranges
from absl import flags

def main():
    import sys
    config = flags.FLAGS.config
    print(config.optimizer.lr, config.argument, "jax" in sys.modules)

cli.run(main, config={config!r})
"""
FAILING = """
from m3i_jax import cli
from m3i_jax.checkpoints.faults import Locked


def main():
    raise Locked("somebody is there")

cli.run(main)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(CONFIG)
    return str(path)


def run(config, *words):
    """What it said, and its seconds of processor time, that others do not lengthen."""
    start = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(config=config), *words],
        capture_output=True,
        text=True,
    )
    return done, sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - start


def test_a_good_line_runs(config):
    done, _ = run(config, "--config.optimizer.lr=0.5")
    assert done.stdout.split() == ["0.5", "plain", "False"], done.stderr
    done, _ = run(config, f"--config={config}:other")
    assert done.stdout.split()[1] == "other"


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--config.optimizer.lrr=1"], "config.optimizer has no key 'lrr'; did you mean 'lr'?"),
        (["--config.optimizer.2b=1"], "config.optimizer has no key '2b'"),
        (["--config.optimizer.=1"], "config.optimizer has no key ''"),
        (["--config.lr=1"], "config has no key 'lr'; did you mean config.optimizer.lr?"),
        (["--config.bacth=1"], "config has no key 'bacth'; did you mean 'batch'?"),
        (["--noconfig.optimiser.lr"], "config has no key 'optimiser'; did you mean 'optimizer'?"),
        (["--config.optimizer.steps.first=1"], "config.optimizer has no key 'steps'"),
        (["--config.batch.size=1"], "config.batch is a single value and has no key 'size'"),
        (["--config.batch=many"], "--config.batch is 'many', expected a whole number, such as 4"),
        (["--config.decoders={3"], "--config.decoders is '{3', expected a block, such as"),
        (["--config.weightDecay=1"], "did you mean config.optimizer.weight_decay?"),
        (["--config.augments.a.blur=1"], "config has no key 'augments'; did you mean 'augment'?"),
        (["--config.augment.a-b.blur=1"], "config.augment has no key 'a-b'"),
        (["--config.decoders.imag.width=1"], "config.decoders has no key 'imag'; did you mean 'im"),
        (["--config.optimizer=adamw"], "config.optimizer is a block of keys, not 'adamw'; write"),
        (["--config.decoders.image=mlp"], "write --config.decoders.image.name=mlp"),
        (["--config.optimizer", "sgd"], "config.optimizer is a block of keys, not 'sgd'"),
        (["--config"], "--config lacks its value; expected --config=FILE"),
        (["--config", "--config.batch=1"], "--config lacks its value"),
        (["--config.batch", "--config.optimizer.lr=1"], "--config.batch lacks its value"),
        (["--confg.batch=1"], "Unknown command line flag 'confg.batch'"),
        (["stray"], "'stray' is not a flag"),
    ],
)
def test_a_bad_line_is_one_sentence_and_status_2(config, words, sentence):
    done, seconds = run(config, *words)
    assert done.returncode == cli.USAGE
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert seconds < 3


@pytest.mark.parametrize(
    "text, value",
    [
        ("64", 64),
        ("1e-3", 1e-3),
        ("true", True),
        ("(0.2, 1.0)", (0.2, 1.0)),
        ("sincos", "sincos"),
        ("{'name': 'adamw'}", {"name": "adamw"}),
    ],
)
def test_a_block_takes_a_key_that_the_file_leaves_out(config, text, value):
    program = PROGRAM.replace("config.optimizer.lr", "repr(config.optimizer.to_dict())")
    line = [sys.executable, "-c", program.format(config=config), f"--config.optimizer.new={text}"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.stdout.startswith(repr({"lr": 0.1, "new": value})), done.stdout + done.stderr


@pytest.mark.parametrize(
    "words, block, value",
    [
        (["--config.augment.a.blur=0.5"], "augment", {"a": {"blur": 0.5}}),
        (["--config.augment.a={'blur': 0.5}"], "augment", {"a": {"blur": 0.5}}),
        (["--config.seed=3"], "seed", 3),
        (["--config.batch=1e3"], "batch", 1000),
        (["--config.batch", "2.5E2", "--config.seed=2e3"], "batch", 250),
        (["--config.crops.flip=0.5"], "crops", {"flip": 0.5}),
        (["--config.crops.rand_augment.magnitude=9"], "crops", {"rand_augment": {"magnitude": 9}}),
        (["--config.optimizer.weight_decay=1", "--config.optimizer.weight_decay_end=2"],
         "optimizer", {"lr": 0.1, "weight_decay": 1, "weight_decay_end": 2}),
        (["--config.decoders.image.head=tanh"], "decoders",
         {"image": {"name": "mlp", "heads": 2, "head": "tanh"}}),
        (["--config.optimizer={'name': 'sgd'}"], "optimizer", {"name": "sgd"}),
        (["--config.crops.rand_augment.magnitude=9", "--config.crops.rand_augment=None"],
         "crops", {"rand_augment": None}),
        (["--config.optimizer.lr", "None", "--config.optimizer.clip=None",
          "--config.optimizer.clip=0.5"], "optimizer", {"lr": None, "clip": 0.5}),
    ],
)  # fmt: skip
def test_what_a_file_leaves_out_can_be_said(config, words, block, value):
    program = PROGRAM.format(config=config).replace(
        'config.optimizer.lr, config.argument, "jax" in sys.modules', "config.to_json()"
    )
    line = [sys.executable, "-c", program, *words]
    done = subprocess.run(line, capture_output=True, text=True)
    assert json.loads(done.stdout)[block] == value, done.stderr


def test_a_long_value_is_not_repeated_whole(config):
    done, _ = run(config, f"--config.batch={'9' * 5000}")
    assert done.returncode == cli.USAGE and "Traceback" not in done.stderr
    assert len(done.stderr) < 500 and done.stderr.startswith("error: ")
    done, _ = run(config, f"--config.optimizer.{'x' * 5000}=1".replace("optimizer.", ""))
    assert done.returncode == cli.USAGE and len(done.stderr) < 500


FLAGS = """
from absl import flags
from m3i_jax import cli
NAME = flags.DEFINE_string("name", "x", "A text.")
ON = flags.DEFINE_boolean("on", False, "A switch.")
cli.run(lambda: print(NAME.value, ON.value))
"""


@pytest.mark.parametrize(
    "words, said",
    [
        (["--name", "--on"], "error: --name lacks its value; expected --name=VALUE\n"),
        (["--on", "--name"], "error: --name lacks its value; expected --name=VALUE\n"),
        (["--on", "--name", "a"], "a True\n"),
        (["--name=--on"], "--on False\n"),
        (["--name", "-1"], "-1 False\n"),
        (["--name=\udcff"], "\\udcff False\n"),
    ],
)
def test_a_flag_does_not_take_the_next_one_for_its_value(words, said):
    line = [sys.executable, "-c", FLAGS, *words]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.stdout + done.stderr == said


def test_other_faults_of_the_user_have_a_status_of_their_own():
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True)
    assert done.returncode == 73 and done.stderr == "error: somebody is there\n"


RECIPES = """
def get_config():
    from ml_collections import ConfigDict
    import recipes
    config = recipes.digit_scenes(objective=dict(name="mae"))
    return ConfigDict(dict(config, whose=recipes.__file__))
"""


def test_the_program_finds_them_too(tmp_path):
    (tmp_path / "mine.py").write_text(RECIPES)
    program = PROGRAM.replace("config.optimizer.lr", "config.whose").replace(
        "config.argument, ", ""
    )
    line = [sys.executable, "-c", program.format(config="configs/digit_scenes/mae.py")]
    line += [f"--config={tmp_path}/mine.py", "--config.batch=4"]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.stdout.split()[0].endswith("configs/recipes/__init__.py"), done.stderr


NOISY = """
import pathlib, sys
from absl import logging
from m3i_jax import cli, ranges

def main():
    for folder in ("orbax", "other"):
        try:
            raise OSError(28, f"No space left for {folder}")
        except OSError:
            code = compile("logging.exception('a thread failed')", f"/x/{folder}/y.py", "exec")
            exec(code, {"logging": logging})

cli.run(main)
"""


def test_what_we_say_in_a_sentence_no_thread_of_a_library_says_in_a_traceback():
    done = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "No space left for other" in done.stderr and "for orbax" not in done.stderr


ENDING = """
from m3i_jax import cli, ranges

def main():
    {act}

cli.run(main)
"""


@pytest.mark.parametrize(
    "act, status, sentence",
    [
        ("open('{tmp}/no/x', 'w')", 74, "'{tmp}/no/x' cannot be read or written: No such file"),
        ("raise OSError(28, 'No space left')", 74, "a file cannot be read or written: No space"),
        ("raise OSError(27, 'File too large')", 74, "a file cannot be read or written: File too"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
    ],
)
def test_disks_and_ctrl_c_end_without_a_traceback(act, status, sentence, tmp_path):
    program = ENDING.format(act=act.format(tmp=tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: " + sentence.format(tmp=tmp_path))
    assert done.stderr.count("\n") == 1


def test_a_failed_save_is_told_once_and_other_errors_are_printed():
    """TensorStore's threads meet the loop of a save that is over, each with a traceback."""
    late, told = RuntimeError("Event loop is closed"), []

    def raised(error):
        cli._unraisable(told.append, types.SimpleNamespace(exc_value=error))

    def behind(error):
        thread = threading.Thread(target=raised, args=(error,))
        thread.start()
        thread.join()

    behind(late)
    assert not told
    raised(late)
    behind(RuntimeError("another"))
    assert [str(met.exc_value) for met in told] == ["Event loop is closed", "another"]


STUCK = """
import threading, time
import jax
from m3i_jax import cli

cli.PARTING = {parting}

def main():
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("done", end="")
    {act}

cli.run(main)
"""


@pytest.mark.parametrize(
    "act, status, parting",
    [("pass", 0, 1), ("return 75", 75, 1), ("1 / 0", 1, 1), ("raise KeyboardInterrupt", 130, 50)],
)
def test_a_thread_that_waits_for_nothing_holds_no_program(act, status, parting):
    start = time.perf_counter()
    code = STUCK.format(act=act, parting=parting)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == status and done.stdout == "done", done.stderr
    assert time.perf_counter() - start < 40 and ("ZeroDivision" in done.stderr) == (status == 1)


DEAF = """
import os, signal, time
from m3i_jax import cli

class Callback:
    def __del__(self):  # as of the garbage collector, which passes nothing on
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)

def main():
    Callback()
    print("on", end="", flush=True)
    time.sleep(300)

cli.run(main)
"""


def test_ctrl_c_is_heard_in_a_callback_that_swallows_exceptions():
    done = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_what_belongs_together_is_written_before_ctrl_c_is_heard():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *of: heard.append("end"))
    try:
        with cli.unbroken():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            heard.append("written")
        assert heard == ["written", "end"]
        with cli.unbroken():
            pass
        assert heard == ["written", "end"]
    finally:
        signal.signal(signal.SIGINT, before)


TALKING = """
from m3i_jax import cli

def main():
    for line in range({lines}):
        print("a line of some letters", line)
    print("done", file=__import__("sys").stderr)

cli.run(main)
"""


@pytest.mark.parametrize("lines, status, said", [(100_000, 141, ""), (10, 0, "done\n")])
def test_a_reader_who_leaves_is_met_by_no_traceback(lines, status, said):
    """Text that fills the pipe, and text that is written at the exit only."""
    program = [sys.executable, "-c", TALKING.format(lines=lines)]
    env = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with subprocess.Popen(program, env=env, **pipes) as started:
        started.stdout.close()
        errors = started.stderr.read().decode()
    assert (started.returncode, errors) == (status, said)


def test_a_page_of_help_may_be_left_early():
    program = [sys.executable, "-m", "m3i_jax", "pretrain", "--help"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        started.stdout.close()
        assert started.stderr.read() == b""


def test_a_reader_gets_sentences_and_warnings_are_called_so():
    spoken = cli._Spoken()
    record = lambda level: logging.LogRecord("m3i_jax", level, "file.py", 1, "%d left", (3,), None)  # noqa: E731
    assert spoken.format(record(logging.INFO)) == "3 left"
    assert spoken.format(record(logging.WARNING)) == "warning: 3 left"


def test_a_line_that_stays_takes_the_place_of_one_that_is_said_in_place(monkeypatch):
    terminal = io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    cli.fresh_line()
    assert terminal.getvalue() == ""
    terminal.isatty = lambda: True
    cli.fresh_line()
    assert terminal.getvalue() == "\r\x1b[K"


def test_what_is_said_does_nothing_to_a_terminal():
    said = cli.readable(f"'\x1b[2Ja\udcffé\u202e' is {'x' * 300}\nno number")
    assert said == f"'\\x1b[2Ja\\udcffé\\u202e' is {'x' * 60}…\nno number"
