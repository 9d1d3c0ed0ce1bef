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
        (["--config.optimizer.rl=1"], "config.optimizer has no key 'rl'; did you mean 'lr'?"),
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


def test_a_missing_config_names_the_nearest_file(config, tmp_path):
    with pytest.raises(ConfigError, match="no config file .*; did you mean 'some.py'?"):
        cli.load(str(tmp_path / "sme.py"))
