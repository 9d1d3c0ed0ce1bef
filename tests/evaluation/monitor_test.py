"""What the monitor is told and what it refuses; what it writes is read back here, too."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from m3i_jax.evaluation import monitor as module
from m3i_jax.evaluation.monitor import monitor
from m3i_jax.evaluation.watched import InMemory
from m3i_jax.training import log, reading

CUT = dict(size=8, ratio=None)


class Config:
    image, unreadable, threads = 8, 0.001, 1

    def __init__(self, root=None, **block):
        self.monitor = block
        self.data = {"name": "image_folder", "root": str(root)}


class Run:
    method = SimpleNamespace(telling=lambda view: None)

    def __init__(self, config):
        self.config = config


class RunContext:
    """As much of a run as the monitor looks at before the first step."""

    def __init__(self, root=None, **block):
        self.run, self.workdir = Run(Config(root, **block)), root
        if root is not None:
            source = reading.read(self.run.config, root / "run", split="train")
            self.inputs = SimpleNamespace(source=source)


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(root / name)
    return root


def test_an_interval_of_zero_turns_it_off():
    assert monitor(RunContext(every=0)) == []


def test_a_probe_is_left_in_the_middle_when_somebody_asks_to_leave(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4)
    seen = []

    def encode(params, images):
        seen.append(len(images))
        return jnp.asarray(images, jnp.float32).reshape(len(images), -1) + params

    images = np.arange(40, dtype=np.uint8).reshape(10, 2, 2, 1)
    whole = module._features(encode, 1.0, images, lambda: False)
    np.testing.assert_array_equal(whole, images.reshape(10, 4) + 1.0)
    assert seen == [4, 4, 4], "one program for all chunks"
    part = module._features(encode, 1.0, images, lambda: len(seen) >= 5)
    assert seen[3:] == [4, 4] and len(part) == 8


@pytest.mark.parametrize(
    "test,reason",
    [
        ((), "has no test split"),
        (("val/1.png",), "no image of the test split has a label of 'cat', 'dog'"),
        (("val/cat/1.png",), ""),
    ],
)
def test_a_vote_that_cannot_be_checked_is_off_and_says_why(tmp_path, caplog, test, reason):
    context = RunContext(put(tmp_path, "train/cat/1.png", "train/dog/1.png", *test), every=1)
    asked = module._asked(context, 8, CUT)
    if reason:
        assert asked is None and "no kNN is shown during training (config.monitor): " in caplog.text
        assert reason in caplog.text
    else:
        assert asked.labels.tolist() == [0] and "no kNN is shown" not in caplog.text
    assert len(monitor(context)) == 1  # the features themselves are watched all the same


def test_the_bank_has_every_class_or_says_which_it_lacks(tmp_path, caplog):
    many = (f"train/cat/{i}.png" for i in range(400))
    put(tmp_path, *many, "train/dog/1.png", "train/elk/1.png", "val/dog/1.png", "val/cat/1.png")
    context = RunContext(tmp_path, every=1, bank=30)
    labels = InMemory(context.inputs.source, 30, **CUT).labels
    assert sorted(set(labels.tolist())) == [0, 1, 2] and len(labels) == 30
    monitor(context)
    assert "they are looked for in" not in caplog.text
    (tmp_path / "train/dog/1.png").write_bytes(b"")  # its only one
    monitor(RunContext(tmp_path, every=1, bank=30, k=20))
    assert (
        "1 of 2 images whose nearest neighbours are looked for during training are of 'dog', of "
        "which none is among the 30 images" in caplog.text
    )


def test_without_classes_in_training_there_is_no_vote(tmp_path, caplog):
    context = RunContext(put(tmp_path, "train/1.png", "val/cat/1.png"), every=1)
    assert module._asked(context, 8, CUT) is None and "train split has no classes" in caplog.text


def test_a_class_that_training_lacks_is_refused_before_the_first_step(tmp_path):
    context = RunContext(
        put(tmp_path, "train/cat/1.png", "val/cat/1.png", "val/cow/1.png"), every=1
    )
    with pytest.raises(ConfigError, match="config.monitor cannot count 1 images .* class 'cow'"):
        monitor(context)


def test_broken_records_are_neither_in_the_bank_nor_asked(tmp_path):
    train = (f"train/{name}/{i}.png" for name in ("cat", "dog") for i in range(2))
    context = RunContext(put(tmp_path, *train, *(f"val/dog/{i}.png" for i in (1, 2, 3))), every=1)
    (tmp_path / "train/cat/1.png").write_bytes(b"")
    (tmp_path / "val/dog/1.png").write_bytes(b"")
    bank = InMemory(context.inputs.source, 9, **CUT)
    assert len(bank.images) == 3 and bank.labels.tolist() == [0, 1, 1]
    assert module._asked(context, 8, CUT).labels.tolist() == [1, 1]
    (tmp_path / "val/dog/2.png").write_bytes(b"")  # not the one that is asked about
    with pytest.raises(TooManyUnreadable, match="2 of 3 records of the test split"):
        module._asked(context, 1, CUT)


def test_the_monitor_wrote_probe_and_health(finished_run):
    lines = [x for x in log.read(finished_run / "metrics.jsonl") if "health/feature_std" in x]
    assert [line["step"] for line in lines] == [4, 8]
    for line in lines:
        assert 0 <= line["probe/online_knn/top1"] <= 1 and 0 <= line["probe/ema_knn/top1"] <= 1
        assert 1 <= line["health/effective_rank"] <= 32 and line["health/feature_std"] > 0
        assert line["monitor/seconds"] > 0 and 0 < line["monitor/share"] < 1


def run_of(pace, clock, *, steps, step_seconds, look_seconds, first=0.0):
    """The steps that are looked at, and the last share, of a run whose seconds are known."""
    seen, said = [], {}
    for step in range(1, steps + 1):
        clock[0] += step_seconds
        if pace.due(step):
            pace.begin(step)
            clock[0] += look_seconds + (first if not seen else 0.0)
            said = pace.end(step)
            seen.append(step)
    return seen, said


def test_a_monitor_that_is_cheap_looks_every_time():
    clock = [0.0]
    pace = module.Pace(10, most=0.03, clock=lambda: clock[0])
    seen, said = run_of(pace, clock, steps=100, step_seconds=1.0, look_seconds=0.3)
    assert seen == list(range(10, 101, 10))
    assert said == pytest.approx({"monitor/seconds": 0.3, "monitor/share": 3 / 103})


def test_one_that_costs_more_than_it_may_looks_less_often_and_says_so(caplog):
    clock = [0.0]
    pace = module.Pace(10, most=0.03, clock=lambda: clock[0])
    seen, said = run_of(pace, clock, steps=3000, step_seconds=1.0, look_seconds=4.0, first=9.0)
    # At step 20 it has taken 17 of 37 s; the next look makes that 21 s, 3 % of 700 s. From there on
    # 130 steps is the first multiple of ten that pays for 4 s, as 3 % of 4 + 129.3 s.
    assert seen[:5] == [10, 20, 680, 810, 940]
    spent = 4.0 * len(seen) + 9.0
    assert said["monitor/share"] == pytest.approx(spent / (seen[-1] + spent))
    assert said["monitor/share"] < 0.03
    assert caplog.text.count("it is done again in 660 steps and not in 10") == 1


def test_without_a_bound_nothing_is_put_off():
    clock = [0.0]
    pace = module.Pace(10, most=0.0, clock=lambda: clock[0])
    assert run_of(pace, clock, steps=50, step_seconds=1.0, look_seconds=50.0)[0] == [
        10, 20, 30, 40, 50,
    ]  # fmt: skip
