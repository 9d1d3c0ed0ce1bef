"""Dense heads while they train: the numbers are those of an evaluation of the same weights."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, models, results
from m3i_jax.evaluation.dense import goals, persons, tested, validated
from m3i_jax.evaluation.dense.posed import posed
from m3i_jax.evaluation.dense.predictor import of_method
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.tasks import create
from m3i_jax.evaluation.tracking.followed import Search, followed
from m3i_jax.evaluation.tracking.judged import judged
from m3i_jax.evaluation.validation import check, validation
from m3i_jax.training import log, reading, schema
from m3i_jax.training.assemble import assemble, objective
from m3i_jax.training.session import train

DENSE = {"data.dense": True, "data.length": 20, "validation.batch": 16}
AVERAGED = {"average.head": True, "average.momentum": 0.5, "average.end": 0.5}


def test_a_run_is_judged_as_its_last_checkpoint_is(shrunk, tmp_path):
    """Categories of pixels, of the network and of its average, whose head is kept for that."""
    ends = {"duration": "3 steps", "warmup": "1 steps", "validation.every": "2 steps"}
    config = shrunk("segmentation", **DENSE, **AVERAGED, **ends, **{"validation.branch": "ema"})
    assert train(config, tmp_path, watch=validation, before=check) == 0
    lines = {found.branch: found for found in results.read(tmp_path)}
    assert lines.keys() == {"online", "ema"}
    assert lines["ema"].metrics != lines["online"].metrics
    (task,) = create([{"name": "segmentation", "head": "own"}])
    line, model = lines["ema"], models.restore(tmp_path, branch="ema")
    evaluation = Evaluation(model, datasets.of_run(model))
    found = task.measure(evaluation).metrics
    assert (line.task, line.protocol["head"], line.counts["test"]) == (task.name, "own", 20)
    assert line.weights == evaluation.weights and line.step == 3
    for name, value in line.metrics.items():
        np.testing.assert_allclose(value, found[name.rpartition("/")[2]], atol=2e-3)
    assert line.intervals.keys() == {"eval/segmentation/miou"}
    logged = [x for x in log.read(tmp_path / "metrics.jsonl") if "validation/best" in x]
    assert [x["step"] for x in logged] == [2, 3]
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["metric"] == "validation/ema/miou"
    assert best["value"] == max(x["validation/ema/miou"] for x in logged)
    assert not list(tmp_path.glob("predictions.*"))


@pytest.fixture
def asked(shrunk, tmp_path):
    """asked(name, view) -> the run of a method, a source, and what its question is answered."""

    def ask(name, view, *, leave=lambda: False, dense=DENSE, **changes):
        config = shrunk(name, **dense, **{"validation.every": "1 epochs"}, **changes)
        run = assemble(config, images=20)
        wanted = schema.Validation(**config.validation)
        train = reading.read(config, tmp_path, split="train")
        source = validated.opened(run, wanted, train, tmp_path, view=view)
        params = run.create().params
        with jax.set_mesh(run.mesh):
            context = SimpleNamespace(run=run, asked=leave)
            question = validated.question(context, wanted, source, view=view)
            return run, source, jax.device_get(params), question, question.ask(params)

    return ask


def test_depth_is_judged_up_to_what_the_head_can_say(asked):
    run, source, params, question, reply = asked(
        "depth", "depth", **{"decoders.depth.max_depth": 4.0, "validation.size": 32}
    )
    assert (question.task, question.metric, question.lower) == ("depth", "rmse", True)
    assert question.protocol["base"] == (128, 32) and question.protocol["encoder"] == "trained"
    predictor = of_method(run.method, run.network, params, "depth")
    way = tested.Way(base=(128, 32))
    found = tested.tested(predictor, source, goals.of_depth(maximum=4.0), way=way, batch=7)
    assert reply.rows == found.images == 20 and reply.write is None
    for name, value in reply.numbers.items():
        np.testing.assert_allclose(value, found.numbers[name], rtol=1e-4)


def test_joints_are_judged_in_their_boxes_and_a_pass_ends_when_somebody_leaves(asked):
    leaving = []
    how = dict(leave=lambda: bool(leaving))
    run, source, params, question, reply = asked("pose", "points", **how)
    assert (question.task, question.metric, question.lower) == ("pose", "oks", False)
    predictor = of_method(run.method, run.network, params, "points")
    how = dict(size=(16, 16), batch=5, swapped=source.skeleton.swapped)
    numbers, _ = persons.measured(
        persons.Persons.of(source), source, posed(predictor, source, **how)
    )
    for name, value in reply.numbers.items():
        np.testing.assert_allclose(value, numbers[name], rtol=1e-3)
    leaving.append("somebody")
    with jax.set_mesh(run.mesh):
        assert question.ask(params) is None


def test_a_tracker_is_judged_by_the_videos_of_the_test_split(asked):
    """As the task tracking does it; a pass ends when somebody leaves."""
    videos = {"data": dict(name="moving_digits", videos=3, frames=3, size=32, seed=1)}
    head = dict(name="swin_track", width=8, depth=1, heads=2)
    small = {"crops.template": 8, "encoder.patch": 4, "decoders": dict(tracking=head)}
    leaving = []
    how = dict(leave=lambda: bool(leaving), dense={}, **videos, **small)
    run, source, params, question, reply = asked("swin_track", "track", **how)
    assert (question.task, question.metric, question.lower) == ("tracking", "ao", False)
    assert question.protocol["template"] == 8 and reply.rows == 3
    predictor, search = of_method(run.method, run.network, params, "track"), Search(16, 8)
    assert of_method(run.method, run.network, params, "objects") is None
    tracks = followed(predictor, source.source, search=search, batch=2)
    right = judged(tracks)
    assert reply.numbers.keys() == right.keys() and 0 < right["constant"] < 1
    for name, value in reply.numbers.items():
        np.testing.assert_allclose(value, right[name], atol=2e-3)
    leaving.append("somebody")
    with jax.set_mesh(run.mesh):
        assert question.ask(params) is None


@pytest.mark.parametrize(
    "name, changes, said",
    [
        ("pose", {"validation.metric": "ap"}, "does not say who all is in an image"),
        ("pose", {"objective.points": 4}, "points is 4, but 'digit_scenes' has 5"),
        ("depth", {"validation.ratio": 1.0}, "ratio is 1.0, which is of a classifier"),
        ("depth", {"validation.predictions": "npz"}, "predictions is 'npz', which is of"),
        ("depth", {"data.dense": False}, "'depth', of which none of"),
        ("depth", {"validation.metric": "miou"}, "miou, which says nothing of .*rmse"),
        ("depth", {"validation.branch": "ema"}, "set config.average.head=True"),
        (
            "swin_track",
            {"data": {"name": "digit_scenes"}},
            "'digit_scenes' has no videos, which tracking is measured on",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(shrunk, tmp_path, name, changes, said):
    config = shrunk(name, **(DENSE | {"validation.every": "1 epochs"} | changes))
    method = objective(config)
    network = SimpleNamespace(untracked=frozenset())
    run = SimpleNamespace(config=config, method=method, network=network)
    source = reading.read(config, tmp_path, split="train")
    with pytest.raises(ConfigError, match=said):
        check(run, SimpleNamespace(source=source), tmp_path)


def test_a_test_split_of_other_categories_of_objects_is_refused(shrunk, tmp_path):
    config = shrunk("detection", **{"validation.every": "1 epochs"})
    run = SimpleNamespace(
        config=config, method=objective(config), network=SimpleNamespace(untracked=frozenset())
    )
    own = reading.read(config, tmp_path, split="train")
    check(run, SimpleNamespace(source=own), tmp_path)
    other = SimpleNamespace(name="other", classes=own.classes, object_names=("x",))
    with pytest.raises(ConfigError, match="category 0 of objects is 'x' in training and '"):
        check(run, SimpleNamespace(source=other), tmp_path)
