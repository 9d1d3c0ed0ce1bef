"""Command lines are answered in sentences before jax is imported."""

import subprocess
import sys
import time

import pytest

from m3i_jax import cli
from m3i_jax.build import ConfigError

CONFIG = """
from ml_collections import ConfigDict

def get_config(argument="plain"):
    return ConfigDict(dict(optimizer=dict(lr=0.1), batch=4, argument=argument))
"""
PROGRAM = """
from m3i_jax import cli
from absl import flags

def main():
    import sys
    config = flags.FLAGS.config
    print(config.optimizer.lr, config.argument, "jax" in sys.modules)

cli.run(main, config={config!r})
"""
FAILING = """
from m3i_jax import cli
from m3i_jax.training.storage import Locked

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
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(config=config), *words],
        capture_output=True,
        text=True,
    )
    return done, time.perf_counter() - start


def test_a_good_line_runs(config):
    done, _ = run(config, "--config.optimizer.lr=0.5")
    assert done.stdout.split() == ["0.5", "plain", "False"], done.stderr
    done, _ = run(config, f"--config={config}:other")
    assert done.stdout.split()[1] == "other"


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--config.optimizer.lrr=1"], "config.optimizer has no key 'lrr'; did you mean 'lr'?"),
        (["--config.bacth=1"], "config has no key 'bacth'; did you mean 'batch'?"),
        (["--noconfig.optimiser.lr"], "config has no key 'optimiser'; did you mean 'optimizer'?"),
        (["--config.optimizer.steps.first=1"], "config.optimizer has no key 'steps'"),
        (["--config.batch.size=1"], "config.batch is a single value and has no key 'size'"),
        (["--config.batch=many"], "batch"),
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


def test_other_faults_of_the_user_have_a_status_of_their_own():
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True)
    assert done.returncode == 73 and done.stderr == "error: somebody is there\n"


def test_a_missing_config_names_the_nearest_file(config, tmp_path):
    with pytest.raises(ConfigError, match="no config file .*; did you mean 'some.py'?"):
        cli.load(str(tmp_path / "sme.py"))
