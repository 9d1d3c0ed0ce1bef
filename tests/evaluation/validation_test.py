"""Validation through the engine: exact counts, the best checkpoint, early ends, resuming."""

import json
import math
import os
import signal
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import data, normalize, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data.batches import batches
from m3i_jax.data.epoch import epoch
from m3i_jax.data.sources.unreadable import TooManyUnreadable
from m3i_jax.evaluation import classified, datasets, models, results, terms
from m3i_jax.evaluation import validation as module
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.validation import Progress, check, validation
from m3i_jax.parallel.signals import EXIT_PREEMPTED
from m3i_jax.training import log
from m3i_jax.training.assemble import assemble
from m3i_jax.training.session import train
from tests.evaluation.classified_test import TWO, folders

STEPS, IMAGES = 12, 61  # images: of no batch and no number of devices a multiple


def small(shrunk, **changes):
    """A run of `classification` on a few scenes that validates every 3 steps."""
    own = {
        "data.length": IMAGES, "validation.every": "3 steps", "validation.batch": 16,
        "average.head": True, "average.momentum": 0.5, "average.end": 0.5,
        "checkpoint.every": 4,
    }  # fmt: skip
    return shrunk("classification", **(own | changes))


@pytest.fixture(scope="module")
def config(shrunk):
    return small(shrunk)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """The work directory of a run with validation, on eight devices."""
    workdir = tmp_path_factory.mktemp("validated") / "run"
    assert train(config, workdir, watch=validation, before=check) == 0
    return workdir


def validated(workdir):
    lines = log.read(workdir / "metrics.jsonl")
    return {x["step"]: x for x in lines if "validation/online/top1" in x}


def recount(config, workdir, step, branch):
    """Shares of a checkpoint, image by image in float32 and counted in Python."""
    built = assemble(config, images=IMAGES)
    params = Checkpoints(workdir / "checkpoints", read_only=True).restore_item(step, branch)
    source = data.source(config.data, split="test")
    network, pair = built.network, terms.pair(built.method, "label")
    encode = lambda x: network.encode(params, "image", x)  # noqa: E731
    answer = jax.jit(lambda x: terms.logits(network, params, pair, encode(x)))
    right = {label: [] for label in range(10)}
    within = []
    for rows in epoch(source, batch=1, size=config.image):
        image = jnp.asarray(rows.batch.images["a"], jnp.float32) / 255.0
        scores, label = np.asarray(answer(normalize.channels(image)))[0], int(rows.batch.label[0])
        order = np.argsort(-scores, kind="stable")
        right[label].append(order[0] == label)
        within.append(label in order[:5])
    every = sum(right.values(), [])
    there = [np.mean(x) for x in right.values() if x]
    assert len(every) == IMAGES
    return {"top1": np.mean(every), "top5": np.mean(within), "mean_per_class": np.mean(there)}


def test_exactly_the_test_images_are_counted_online_and_averaged(config, run):
    lines = validated(run)
    assert sorted(lines) == [3, 6, 9, 12]
    for branch in ("online", "ema"):
        for name, share in recount(config, run, 12, branch).items():
            np.testing.assert_allclose(lines[12][f"validation/{branch}/{name}"], share, rtol=1e-12)
    averaged = Checkpoints(run / "checkpoints", read_only=True).restore_item(12, "ema")
    assert averaged["encoders"].keys() == {"image", "category"}
    assert averaged["decoders"].keys() == {"category"}


def test_the_best_checkpoint_stays_beside_the_newest(run):
    lines = validated(run)
    found = {step: line["validation/online/top1"] for step, line in lines.items()}
    best = min(found, key=lambda step: (-found[step], step))
    note = json.loads((run / "best.json").read_text())
    assert (note["step"], note["value"]) == (best, found[best])
    kept = Checkpoints(run / "checkpoints", read_only=True)
    assert best in kept.steps() and {8, 12} <= set(kept.steps())
    assert set(kept.steps()) <= {best, *[s for s in (8, 9, 12)]}
    assert lines[12]["validation/best"] == found[best]


def test_the_predictions_are_those_of_the_best_step(config, run):
    best = json.loads((run / "best.json").read_text())
    with np.load(run / "predictions.npz") as file:
        assert len(file["labels"]) == IMAGES == len(set(file["names"]))
        assert np.mean(file["best"][:, 0] == file["labels"]) == best["value"]


def test_the_last_accuracy_is_a_line_of_results(run):
    """Of the network and of its average, with Wilson's interval of 61 rows."""
    lines = {found.branch: found for found in results.read(run)}
    assert lines.keys() == {"online", "ema"} and len(results.read(run)) == 2
    last, best = validated(run)[STEPS], json.loads((run / "best.json").read_text())
    for branch, found in lines.items():
        names = ("top1", "top5", "mean_per_class")
        wanted = {f"eval/fine_tune/{x}": last[f"validation/{branch}/{x}"] for x in names}
        assert found.metrics == wanted and found.step == STEPS and found.task == "fine_tune"
        assert found.counts == {"train": IMAGES, "test": IMAGES}
        assert found.protocol["best_step"] == best["step"]
        share = wanted["eval/fine_tune/top1"]
        low, high = found.intervals["eval/fine_tune/top1"]
        for end in (low, high):  # Wilson's ends solve (p̂ − p)² = z² p (1 − p) / n
            gap = (share - end) ** 2 - 1.959964**2 * end * (1 - end) / IMAGES
            np.testing.assert_allclose(gap, 0, atol=1e-6)
        assert low < share < high
    assert f"{100 * last['validation/ema/top1']:.2f}%" in results.table(results.read(run))


@pytest.mark.parametrize("branch", ["online", "ema"])
def test_its_digests_are_those_that_an_evaluation_of_the_last_checkpoint_writes(run, branch):
    (line,) = (found for found in results.read(run) if found.branch == branch)
    model = models.restore(run, branch=branch)
    evaluation = Evaluation(model, datasets.of_run(model))
    for split in ("train", "test"):
        evaluation.source(split)
    assert line.weights == evaluation.weights and line.records == evaluation.records


def test_one_device_counts_as_eight_do(config, run, one_device, tmp_path):
    """The weights of eight devices, asked on one: the same answers."""
    mesh, devices = one_device
    alone = assemble(config, images=IMAGES, devices=devices)
    step = json.loads((run / "best.json").read_text())["step"]
    params = Checkpoints(run / "checkpoints", read_only=True).restore_item(step, "online")
    source = data.source(config.data, split="test")
    context = SimpleNamespace(run=alone, asked=lambda: False)
    wanted = module.schema.Validation(**config.validation)
    with jax.set_mesh(alone.mesh):
        found, numbers = classified.asking(context, wanted, source)(params)
    with np.load(run / "predictions.npz") as file:
        np.testing.assert_array_equal(found.best[:, 0], file["best"][:, 0])
        np.testing.assert_allclose(found.probability, file["probability"], rtol=1e-4, atol=1e-6)
    assert numbers.tolist() == list(range(IMAGES))


def logged(workdir):
    """{step: everything that was logged of it}, but how fast it went."""
    found = {}
    for line in log.read(workdir / "metrics.jsonl"):
        own = {name: x for name, x in line.items() if not name.startswith(("perf/", "monitor/"))}
        assert not (found.setdefault(line["step"], {}).keys() & own.keys() - {"step"})
        found[line["step"]] |= own
    return found


@pytest.mark.parametrize("asked", [5, 6])
def test_a_run_that_was_asked_to_leave_is_the_same_to_the_bit(config, run, tmp_path, asked):
    """Asked in step 5 it leaves in step 6, which was due, and validates it when it goes on."""

    def asking(context):
        ask = lambda info: os.kill(os.getpid(), signal.SIGTERM) if info.step == asked else None  # noqa: E731
        return [*validation(context), ask]

    assert train(config, tmp_path, watch=asking, before=check) == EXIT_PREEMPTED
    assert (6 in validated(tmp_path)) == (asked == 6)
    assert train(config, tmp_path, watch=validation, before=check) == 0
    assert logged(run) == logged(tmp_path)
    kept = [Checkpoints(w / "checkpoints", read_only=True) for w in (run, tmp_path)]
    for item in ("online", "ema", "state"):
        one, two = (dict(trees.named_leaves(k.restore_item(STEPS, item))) for k in kept)
        for path, leaf in one.items():
            np.testing.assert_array_equal(leaf, two[path], err_msg=path)
    assert (run / "best.json").read_text() == (tmp_path / "best.json").read_text()


def test_a_run_that_gains_nothing_ends_and_is_done(shrunk, tmp_path, caplog):
    """At a rate of nothing every validation is as good as the first; two more, and it ends."""
    still = {"optimizer.lr": 1e-12, "validation.patience": 2, "warmup": "0 steps"}
    config = small(shrunk, **still)
    caplog.set_level("INFO")
    assert train(config, tmp_path, watch=validation, before=check) == 0
    assert sorted(validated(tmp_path)) == [3, 6, 9]
    assert {found.step for found in results.read(tmp_path)} == {9}
    assert "the run ends: none of 2 validations was better than step 3's" in caplog.text
    steps = Checkpoints(tmp_path / "checkpoints", read_only=True).steps()
    assert steps == [3, 8, 9], "the best, and the newest two"
    assert max(line["step"] for line in log.read(tmp_path / "metrics.jsonl")) == 9
    before = (tmp_path / "metrics.jsonl").read_text()
    assert train(config, tmp_path, watch=validation, before=check) == 0
    assert (tmp_path / "metrics.jsonl").read_text() == before, "no step more"


def test_of_equal_validations_the_first_is_the_best():
    at = Progress()
    for step, value in ((3, 0.2), (6, 0.2), (9, 0.5), (12, 0.4), (15, 0.5)):
        at = at.then(step, value)
    assert at == Progress(best=9, value=0.5, since=2, last=15)
    at = Progress().then(3, math.nan, lower=True)
    assert (at.best, at.since) == (0, 1), "a number that is none is no best one"
    for step, value in ((6, 2.0), (9, 0.5), (12, 0.5), (15, math.nan)):
        at = at.then(step, value, lower=True)
    assert at == Progress(best=9, value=0.5, since=2, last=15)


def test_a_small_test_split_is_read_through_before_the_first_step(config, tmp_path):
    from m3i_jax import methods
    from m3i_jax.training import reading

    block = folders(tmp_path, *TWO, *(f"val/cat/{i}.png" for i in range(4)))
    other = type(config).of(config.to_dict() | {"data": block})
    network = SimpleNamespace(untracked=frozenset())
    built = SimpleNamespace(config=other, method=methods.classification(), network=network)
    inputs = SimpleNamespace(source=reading.read(other, tmp_path, split="train"))
    check(built, inputs, tmp_path)
    for broken in (1, 3):
        (tmp_path / f"val/cat/{broken}.png").write_bytes(b"no image")
    with pytest.raises(TooManyUnreadable, match="2 of 4 records of the test split .* more than th"):
        check(built, inputs, tmp_path)


def test_a_method_without_a_classifier_is_refused(shrunk, tmp_path):
    config = shrunk("mae", **{"validation.every": "3 steps"})
    with pytest.raises(ConfigError, match="objective 'mae' has no classifier"):
        train(config, tmp_path, watch=validation, before=check)
    config = shrunk("mae", **{"average.head": True})
    with pytest.raises(ConfigError, match="config.average.head is True, but objective 'mae'"):
        train(config, tmp_path)


def probing(shrunk, **changes):
    """A linear probe of a frozen encoder by LARS, with running statistics, as `small`."""
    from m3i_jax.configs import recipes

    lars = dict(recipes.LARS, lr=0.5, trust=0.1, weight_decay=0.0, freeze="^encoders/image/")
    head = recipes.classifier(10, 64, norm="running", deviation=0.01)
    plain = small(shrunk, **{"average.head": False, "objective.label_smoothing": 0.0})
    plain = plain.to_dict() | dict(optimizer=lars, augment={}) | head
    return type(small(shrunk)).of(plain | changes)


def probed(config, workdir):
    """Trains a probe; returns what its watch saw: the context, and the weights of the start."""
    seen = []

    def watch(context):
        seen.append((context, jax.device_get(context.start.params)))
        return validation(context)

    assert train(config, workdir, watch=watch, before=check) == 0
    return seen[0]


@pytest.fixture(scope="module")
def probe(shrunk, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("probe") / "run"
    config = probing(shrunk)
    return config, workdir, *probed(config, workdir)


def pooled(run, params, images):
    """Mean tokens of images, as the frozen encoder makes them, (N, 64) float64."""
    images = normalize.channels(jnp.asarray(images, jnp.float32) / 255.0)
    return np.float64(run.network.encode(params, "image", images).tokens).mean(1)


def steps_by_hand(config, context, params):
    """MAE's main_linprobe.py in float64: the table, and mean and variance behind the last step.

    BatchNorm1d(affine=False, eps=1e-6) with momentum .1 of the new, and LARS, whose trust ratio
    biases have none of.
    """
    table = params["encoders"]["category"]
    w, b = np.float64(table["kernel"]), np.float64(table["bias"])
    mean, var, v, vb = np.zeros(64), np.ones(64), 0.0, 0.0
    how = dict(batch=config.batch, seed=config.seed, crops=context.inputs.crops)
    rates = context.run.of_length(STEPS, context.run.warmup).schedule
    with batches(context.inputs.source, **how) as stream:
        for step in range(STEPS):
            batch, _ = next(stream)
            x = pooled(context.run, params, batch.images["a"])
            m, s = x.mean(0), x.var(0)
            y = (x - m) / np.sqrt(s + 1e-6)
            z = y @ w.T + b
            p = np.exp(z - z.max(1, keepdims=True))
            g = (p / p.sum(1, keepdims=True) - np.eye(10)[batch.label]) / len(x)
            dw, db, rate = g.T @ y, g.sum(0), float(rates(step))
            dw *= 0.1 * np.linalg.norm(w) / np.linalg.norm(dw)
            v, vb = 0.9 * v + dw, 0.9 * vb + db
            w, b = w - rate * v, b - rate * vb
            mean, var = 0.9 * mean + 0.1 * m, 0.9 * var + 0.1 * s * len(x) / (len(x) - 1)
    return w, b, mean, var


def test_a_probe_behind_running_statistics_is_that_of_float64(probe):
    """12 steps on crops over 8 devices: weights, statistics and the count on 61 test images."""
    config, workdir, context, start = probe
    w, b, mean, var = steps_by_hand(config, context, start)
    last = Checkpoints(workdir / "checkpoints", read_only=True).restore_item(STEPS, "online")
    table, norm = last["encoders"]["category"], last["decoders"]["category"]["norm"]
    assert norm.keys() == {"mean", "var"}
    # float32 features, and sums of 8 rows: parts in 1e6 of what the leaves are.
    wanted = {"kernel": w, "bias": b, "mean": mean, "var": var}
    for name, right in wanted.items():
        off = np.linalg.norm(np.float64((table | norm)[name]) - right) / np.linalg.norm(right)
        assert off < 1e-4, (name, off)
    for path, leaf in trees.named_leaves(start["encoders"]["image"]):
        kept = dict(trees.named_leaves(last["encoders"]["image"]))[path]
        np.testing.assert_array_equal(kept, leaf, err_msg=f"{path} is frozen")
    rows = [*epoch(data.source(config.data, split="test"), batch=1, size=config.image)]
    x = pooled(context.run, start, np.concatenate([r.batch.images["a"] for r in rows]))
    labels = np.concatenate([r.batch.label for r in rows])
    scores = (x - mean) / np.sqrt(var + 1e-6) @ w.T + b
    gap = np.sort(scores, 1)
    assert len(rows) == IMAGES and (gap[:, -1] - gap[:, -2]).min() > 1e-4, "no row is in doubt"
    right = int((scores.argmax(1) == labels).sum())
    found = validated(workdir)[STEPS]["validation/online/top1"]
    assert found * IMAGES == pytest.approx(right, abs=1e-9)
    by_batch = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-6) @ w.T + b
    assert (by_batch.argmax(1) != scores.argmax(1)).any(), "the test set has no say in it"


def test_a_probe_is_a_line_of_results_that_says_how(probe):
    _, workdir, *_ = probe
    (line,) = results.read(workdir)
    assert (line.task, line.branch, line.step) == ("linear_probe", "online", STEPS)
    top1 = validated(workdir)[STEPS]["validation/online/top1"]
    assert line.metrics["eval/linear_probe/top1"] == top1
    assert line.protocol["statistics"] == "running means of the training batches"
    assert line.counts == {"train": IMAGES, "test": IMAGES}
    assert f"{100 * top1:.2f}%" in results.table([line])


def test_one_device_counts_a_probe_as_eight_do_whatever_the_batch(probe, one_device):
    config, workdir, context, _ = probe
    last = Checkpoints(workdir / "checkpoints", read_only=True).restore_item(STEPS, "online")
    source, found = data.source(config.data, split="test"), []
    alone = assemble(config, images=IMAGES, devices=one_device[1])
    for run, batch in ((context.run, 16), (context.run, 64), (alone, 7)):
        wanted = module.schema.Validation(batch=batch)
        with jax.set_mesh(run.mesh):
            asked = SimpleNamespace(run=run, asked=lambda: False)
            answered, numbers = classified.asking(asked, wanted, source)(last)
        assert numbers.tolist() == list(range(IMAGES))
        found.append(answered)
    for other in found[1:]:
        np.testing.assert_array_equal(other.best[:, 0], found[0].best[:, 0])
        np.testing.assert_allclose(other.probability, found[0].probability, rtol=1e-4, atol=1e-6)


def test_a_probe_that_goes_on_is_the_same_to_the_bit(probe, tmp_path):
    config, workdir, *_ = probe

    def asking(context):
        ask = lambda info: os.kill(os.getpid(), signal.SIGTERM) if info.step == 7 else None  # noqa: E731
        return [*validation(context), ask]

    assert train(config, tmp_path, watch=asking, before=check) == EXIT_PREEMPTED
    assert train(config, tmp_path, watch=validation, before=check) == 0
    assert logged(workdir) == logged(tmp_path)
    one, two = (Checkpoints(w / "checkpoints", read_only=True) for w in (workdir, tmp_path))
    for item in ("online", "state"):
        right = dict(trees.named_leaves(one.restore_item(STEPS, item)))
        for path, leaf in trees.named_leaves(two.restore_item(STEPS, item)):
            np.testing.assert_array_equal(leaf, right[path], err_msg=path)


def test_a_head_that_keeps_no_statistics_is_refused(shrunk, tmp_path):
    head = {"decoders": {"category": {"name": "pooled", "norm": "batch"}}}
    with pytest.raises(ConfigError, match="normalises over the batch; set its norm to 'running'"):
        train(probing(shrunk, **head), tmp_path, watch=validation, before=check)
