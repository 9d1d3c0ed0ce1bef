"""A run as its user meets it: killed, asked to leave, damaged, started wrongly. To the bit."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from m3i_jax import cli, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.parallel.signals import EXIT_PREEMPTED
from m3i_jax.training import log, session, starts
from m3i_jax.training.config import Config
from tests import programs

ROOT = pathlib.Path(__file__).parents[2]
# Two devices have shards as eight have, and leave the cores to the run.
DEVICES = programs.devices(2)
PLACE = dict(cwd=ROOT, env=os.environ | DEVICES)
PRETRAIN = ROOT / "experiments" / "pretrain.py"
STEPS, EVERY = 60, 6
CONFIG = f"""
from m3i_jax.configs.digit_scenes import m3i

def get_config():
    config = m3i.get_config()
    config.update(dict(image=16, batch=8, duration="{STEPS} steps", warmup="4 steps"))
    config.encoder.update(dict(width=32, depth=1, heads=2))
    config.towers.text.update(dict(width=32, depth=1, heads=2))
    config.towers.category.width = 32
    for decoder in config.decoders.values():
        decoder.heads = 2
    config.decoders.image.update(dict(width=32, depth=1))
    config.log.update(dict(every=1, images={STEPS}))
    config.checkpoint.every = {EVERY}
    config.monitor.update(dict(every=30, bank=64, queries=32))
    config.data.length = 600  # captions of many scenes take longer than the run
    return config
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "tiny.py"
    path.write_text(CONFIG)
    return str(path)


def words(config, workdir, *more):
    return ["--config", config, "--workdir", str(workdir), *more]


def run(config, workdir, *more):
    return programs.run("pretrain", *words(config, workdir, *more), env=DEVICES)


@pytest.fixture(scope="module")
def straight(config, tmp_path_factory):
    """The work directory of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("straight") / "run"
    done = run(config, workdir)
    assert done.returncode == 0, done.stderr
    return workdir


def logged(workdir):
    """Everything in metrics.jsonl but how fast it went."""
    lines = log.read(workdir / "metrics.jsonl")
    return [
        {k: v for k, v in line.items() if not k.startswith(("perf/", "monitor/"))} for line in lines
    ]


def assert_same_run(one, two):
    """Online, EMA, optimiser and code states, balance and every logged number, bit for bit."""
    kept = [Checkpoints(w / "checkpoints", read_only=True) for w in (one, two)]
    assert kept[0].latest() == kept[1].latest() == STEPS
    for item in ("online", "ema", "state"):
        trees_of = [dict(trees.named_leaves(k.restore_item(STEPS, item))) for k in kept]
        assert trees_of[0].keys() == trees_of[1].keys()
        for name, leaf in trees_of[0].items():
            np.testing.assert_array_equal(leaf, trees_of[1][name], err_msg=f"{item}: {name}")
    assert kept[0].meta(STEPS) == kept[1].meta(STEPS)
    assert logged(one) == logged(two)


def steps_taken(workdir):
    lines = log.read(workdir / "metrics.jsonl")
    return max((line["step"] for line in lines), default=0)


def wait(workdir, *, after, alive):
    """Waits for step `after` of a run, as long as it lives."""
    deadline = time.monotonic() + 300
    while alive() and steps_taken(workdir) < after:
        assert time.monotonic() < deadline
        time.sleep(0.03)  # what is read is read from its start


def kill(config, workdir, *, after, delay):
    """Starts the run, and kills it `delay` seconds behind step `after`; its status."""
    line = words(config, workdir)
    begun = programs.begin(PRETRAIN, *line, folder=workdir.parent, env=DEVICES)
    wait(workdir, after=after, alive=begun.process.is_alive)
    time.sleep(delay)
    begun.process.kill()
    return programs.end(begun).returncode


def leave(config, workdir, *, after):
    """Starts the run as a user does, and asks it to leave behind step `after`."""
    line = [sys.executable, str(PRETRAIN), *words(config, workdir)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **PLACE)
    wait(workdir, after=after, alive=lambda: process.poll() is None)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors.decode()


def test_every_step_is_logged_and_pictures_are_drawn(straight):
    lines = logged(straight)
    losses = [line["train/loss"] for line in lines if "train/loss" in line]
    assert len(losses) == STEPS and np.isfinite(losses).all()
    assert {line["step"] for line in lines if "probe/online_knn/top1" in line} == {30, 60}
    assert (straight / "images" / "views-00000001.png").stat().st_size > 1000
    assert any(straight.glob("events.out.tfevents*"))
    assert json.loads((straight / "config.json").read_text())["batch"] == 8


def test_what_it_was_started_with_and_its_page_are_there(straight):
    (start,) = starts.read(straight)
    assert (start["step"], start["total"], start["devices"]) == (0, STEPS, 2)
    assert "experiments/pretrain.py --config" in start["command"]
    page = (straight / "report.html").read_text()
    assert "<h1>run</h1>" in page and f'max="{STEPS}" value="{STEPS}"' in page
    assert "views at step 60" in page  # the last picture, too, which a thread writes


@pytest.mark.slow
def test_killed_at_three_random_moments_it_ends_as_if_undisturbed(config, straight, tmp_path):
    workdir, seed = tmp_path / "run", random.randrange(10**6)
    rng = random.Random(seed)
    killed = 0
    for after in sorted(rng.sample(range(1, STEPS - 3), 3)):
        status = kill(config, workdir, after=after, delay=rng.uniform(0, 0.15))
        killed += status == -signal.SIGKILL
    assert killed >= 2, f"seed {seed}: the run was too fast to be killed"
    done = run(config, workdir)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    assert_same_run(straight, workdir)


def test_asked_to_leave_it_saves_the_step_it_was_at(config, straight, tmp_path):
    workdir = tmp_path / "run"
    status, errors = leave(config, workdir, after=8)
    assert status == EXIT_PREEMPTED, errors
    kept = Checkpoints(workdir / "checkpoints", read_only=True)
    assert kept.latest() == steps_taken(workdir) < STEPS
    # One byte of the newest checkpoint changes, as on a bad disk.
    newest, before = kept.steps()[-1], kept.steps()[-2]
    victim = max((workdir / f"checkpoints/{newest}").rglob("*"), key=lambda p: p.stat().st_size)
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 1
    victim.write_bytes(raw)
    done = run(config, workdir)
    assert done.returncode == 0, done.stderr
    assert f"checkpoint step {newest} is damaged" in done.stderr
    assert f"going back to step {before}" in done.stderr
    assert_same_run(straight, workdir)


def test_a_finished_run_says_so_and_another_config_is_refused(config, straight):
    again = run(config, straight)
    assert again.returncode == 0 and "done already" in again.stderr
    other = run(config, straight, "--config.optimizer.lr=0.5")
    assert other.returncode == 2 and "optimizer.lr was 0.001, is now 0.5" in other.stderr
    assert "another length" not in other.stderr
    longer = run(config, straight, "--config.duration=80 steps")
    assert longer.returncode == 2 and "duration was '60 steps'" in longer.stderr
    assert (
        f"start another run with --workdir {straight}-2. A run of another length" in longer.stderr
    )


def test_a_run_goes_on_otherwise_where_somebody_asks_for_it(config, straight, tmp_path):
    workdir = shutil.copytree(straight, tmp_path / "run")
    shorter = programs.run("pretrain", "--workdir", workdir, "--resume_with=duration=40 steps")
    assert shorter.returncode == 2 and "a shorter run is one of its own" in shorter.stderr
    changes = ("--resume_with=duration=62 steps", "--resume_with=batch=16")
    longer = run(config, workdir, *changes)
    assert longer.returncode == 0, longer.stderr
    assert "over 62 steps, and step 60 is at 97 % of them" in longer.stderr
    assert "the order of the samples is another from here on" in longer.stderr
    assert steps_taken(workdir) == 62 == starts.read(workdir)[-1]["total"]
    assert any("batch was" in change for change in starts.read(workdir)[-1]["changes"])


def test_a_second_run_in_a_directory_is_refused(config, tmp_path):
    with Checkpoints(tmp_path / "checkpoints"):
        second = run(config, tmp_path)
    assert second.returncode == 73 and second.stderr.splitlines()[-1].startswith("error: ")
    assert "is in use by process" in second.stderr and "Traceback" not in second.stderr


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--config.optimizer.lrr=1"], "config.optimizer has no key 'lrr'; did you mean 'lr'?"),
        # Keys that the file leaves out are the library's to know.
        (["--config.optimizer.rl=1"], "config.optimizer has no key 'rl'; did you mean 'lr'?"),
        (["--config.optimizer.b1=high"], "config.optimizer.b1 is 'high' (text), expected a number"),
        (
            ["--config.encoder.wdth=64"],
            "config.encoder has no key 'wdth'; did you mean 'width'?",
        ),
        (["--config.crops.ratoi=1"], "config.crops has no key 'ratoi'; did you mean 'ratio'?"),
        (["--config.checkpoint.evry=1"], "config.checkpoint has no key 'evry'"),
        (["--config.augment.b.solarise=1"], "did you mean 'solarize'?"),
        (["--config.optimizer.lr=high"], "optimizer.lr"),
        (["--config.optimizer.lr=nan"], "config.optimizer.lr is nan"),
        (["--config.image=30"], "not divisible by patch 8"),
        (
            ["--config.encoder.name=vit_nan"],
            "unknown config.encoder 'vit_nan'; did you mean 'vit_nano'?",
        ),
        (["--config.objective.name=m3"], "did you mean 'm3i'?"),
        (["--config.batch=12", "--config.mesh.data=8"], "does not divide over"),
        (["--config=configs/nothing.py"], "no config file"),
        (
            ["--distributed", "--config=digit_scenes/m3i"],
            "this cannot be one process of many: coordinator_address should be",
        ),
        (["--coordinator=localhost:1", "--config=digit_scenes/m3i"], "want --distributed"),
    ],
)
def test_a_wrong_start_is_answered_at_once(words, sentence, tmp_path):
    # Of CPU: what else the machine does is not its fault.
    done = programs.run("pretrain", "--workdir", tmp_path / "run", *words, seconds=2)
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"init_from": {"path": "runs/frist"}}, r"^config.init_from.path: there are no weights at"),
        ({"init_from": {"path": "HERE/empty"}}, r"path: '.*empty' has no sound checkpoint yet"),
        ({"init_from": {"path": "HERE/empyt"}}, r"'.*empyt'; expected .* did you mean 'empty'\?"),
        ({"init_from": {"path": "HERE/old/checkpoints/9"}}, r"no step 9 in .*; it has 3$"),
        (
            {"weights": {"teacher": {"path": "HERE/none"}}},
            r"^config.weights.teacher.path: there are",
        ),
        (
            {"optimizer": {"name": "sgd", "lr": 0.1, "freeze": "encodre"}},
            "^config.optimizer.freeze = 'encodre' matches none .* did you mean 'encoders'",
        ),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "lr_scale": [[".", 0]]}}, "nothing to train"),
    ],
)
def test_weights_and_paths_that_are_not_there_are_refused_before_the_data_is_opened(
    changes, sentence, tmp_path, monkeypatch
):
    for name in ("empty/checkpoints", "old/checkpoints/3"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setattr(session.reading, "read", lambda *_, **__: pytest.fail("opened"))
    name = "digit_scenes/feature_distillation" if "weights" in changes else "digit_scenes/mae"
    text = json.dumps(cli.load(name).to_dict() | changes).replace("HERE", str(tmp_path))
    with pytest.raises(ConfigError, match=sentence):
        session.train(Config.of(json.loads(text)), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "it was not there, and nothing is in it"


SAFE = {"log", "checkpoint", "monitor", "validation", "mesh", "threads", "unreadable", "init_from"}


@pytest.mark.parametrize("key", Config.__dataclass_fields__)
def test_each_key_alone_either_may_change_or_is_refused_by_name(key, tmp_path):
    """What a finished step hangs on stays as it was; nothing is changed without a word."""
    before = cli.load("digit_scenes/m3i").to_dict()
    log.guard_config(tmp_path, Config.of(before), bound=False)
    value = Config.of(before).to_dict()[key]
    other = {**value, "odd": 1} if isinstance(value, dict) else f"{value}1" if key != "seed" else 7
    after = Config.of(before).to_dict() | {key: other}
    guard = lambda: log.guard_config(tmp_path, after, safe=session.MAY_CHANGE)  # noqa: E731
    if key not in SAFE:
        with pytest.raises(ConfigError, match=rf"made by another config: {key}\b"):
            guard()
        return
    assert [phrase.split(" ")[0].split(".")[0] for phrase in guard()] == [key]
    assert json.loads((tmp_path / log.CONFIG).read_text())[key] == other
    assert guard() == []
