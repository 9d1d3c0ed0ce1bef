"""Tasks beside a run are those of `m3i evaluate` on the same images."""

import contextlib
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, models, tasks, watched
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.parallel.signals import Preemption
from m3i_jax.training import reading, schema


@pytest.fixture
def context(finished_run):
    """What a hook knows of the finished run."""
    online = models.restore(finished_run, branch="online")
    source = reading.read(online.config, finished_run, split="train")
    run = SimpleNamespace(config=online.config, network=online.network)
    return SimpleNamespace(
        run=run, workdir=finished_run, inputs=SimpleNamespace(source=source), asked=lambda: False,
        giving_up=contextlib.nullcontext,
    )  # fmt: skip


def state(finished_run):
    found = {b: models.restore(finished_run, branch=b).params for b in ("online", "ema")}
    return SimpleNamespace(params=found["online"], slots={"ema": found["ema"]})


def test_a_task_beside_a_run_is_the_same_on_the_same_images(context, finished_run):
    wanted = schema.Monitor(bank=60, queries=30, tasks=("knn:k=(1,5)",))
    measure = watched.measuring(context, wanted, {})
    found = measure(state(finished_run))
    (task,) = tasks.create([{"name": "knn", "k": (1, 5)}])
    for branch in ("online", "ema"):
        model = models.restore(finished_run, branch=branch)
        evaluation = Evaluation(model, datasets.of_run(model), test_limit=30)
        right = task.measure(evaluation).metrics
        assert {k: found[f"probe/{branch}_knn/{k}"] for k in right} == pytest.approx(right)
    assert len(found) == 4 and measure(state(finished_run)) == found
    cut = dict(size=context.run.config.image, ratio=wanted.ratio)
    of = datasets.of_run(models.restore(finished_run))
    train = of.open("train", None)
    sources = {"train": (train, 60), "test": (of.open("test", train.classes), 30)}
    held = {split: watched.InMemory(*pair, **cut) for split, pair in sources.items()}
    assert watched.measuring(context, wanted, held)(state(finished_run)) == found


def test_other_data_and_tasks_in_one_text(context, finished_run):
    wanted = schema.Monitor(
        bank=40, queries=20, tasks="knn,linear", data="digit_scenes:length=50,clutter=0"
    )
    found = watched.measuring(context, wanted, {})(state(finished_run))
    assert {"probe/ema_linear/top1", "probe/online_knn/top1_k20"} <= found.keys()


def test_what_cannot_be_measured_is_said_once_and_left_out(context, finished_run, caplog):
    wanted = schema.Monitor(bank=40, queries=20, tasks="zero_shot,knn")
    measure = watched.measuring(context, wanted, {})
    for _ in range(2):
        found = measure(state(finished_run))
        assert {name.split("/")[1] for name in found} == {"online_knn", "ema_knn"}
    assert caplog.text.count("zero_shot is left out during training (config.monitor.tasks):") == 1


def test_nobody_waits_for_it_and_what_is_not_there_is_a_sentence(context, finished_run):
    wanted = schema.Monitor(bank=20, queries=20, tasks="knn")
    context.asked = lambda: True
    assert watched.measuring(context, wanted, {})(state(finished_run)) == {}
    assert watched.measuring(context, wanted._replace(tasks=()), {})(None) == {}
    with pytest.raises(ConfigError, match="unknown config.monitor.tasks 'kn'; did you mean 'knn'"):
        watched.measuring(context, wanted._replace(tasks="kn"), {})
    with pytest.raises(ConfigError, match="no source or folder 'digit_scene'; did you mean"):
        watched.measuring(context, wanted._replace(data="digit_scene"), {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_measure_of_minutes_is_given_up_when_somebody_asks_to_leave(
    context, finished_run, monkeypatch, number
):
    def forever(task, evaluation):
        os.kill(os.getpid(), number)
        try:
            while True:
                time.sleep(0.01)
        except Exception:  # as who reads records forgives whatever they raise
            raise AssertionError("forgiven") from None

    monkeypatch.setattr(watched, "_measures", forever)
    with Preemption() as preemption:
        context.asked, context.giving_up = preemption.at_once, preemption.giving_up
        wanted = schema.Monitor(bank=20, queries=20, tasks="knn")
        assert watched.measuring(context, wanted, {})(state(finished_run)) == {}
        assert preemption.at_once()
        with preemption.giving_up():  # it is asked once, and the flag stays
            done = True
    assert done


def test_records_in_memory_are_read_once_with_their_captions():
    class Source:
        name, classes = "coloured", ("a", "b")

        def __init__(self):
            self.read_count = 0

        def __len__(self):
            return 5

        def __getitem__(self, index):
            self.read_count += 1
            return watched.Sample(np.full((9, 9, 3), index, np.uint8), index % 2)

        def captions(self):
            return [str(i) for i in range(5)]

    source = Source()
    held = watched.InMemory(source, 5, size=4)
    for i in range(5):
        for sample in (held[i], held.read(i)):
            assert (sample.image == i).all() and sample.image.shape == (4, 4, 3)
            assert (sample.label, sample.caption) == (i % 2, str(i))
    assert source.read_count == 5 and len(held) == 5 and list(held.captions()) == list("01234")


def test_two_forms_of_a_task_have_one_name_in_the_log_and_are_refused():
    wanted = schema.Monitor(tasks=("knn", "knn:k=5"))
    with pytest.raises(ConfigError, match="config.monitor.tasks has knn twice"):
        watched.measuring(None, wanted, {})
