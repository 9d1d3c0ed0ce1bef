"""Methods of objects: what they read, and their losses and gradients through the whole engine."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import geometry, losses, methods, trees
from m3i_jax.build import ConfigError
from m3i_jax.detection.box_sets import BoxAnswers, QueryBoxes
from m3i_jax.detection.mask_sets import MaskAnswers
from m3i_jax.framework.distributions import Target
from m3i_jax.framework.keys import named
from m3i_jax.parallel import sharding
from m3i_jax.training import assemble
from m3i_jax.training.step import views
from m3i_jax.types import Features, Objects, ViewAnnotations
from tests.toy_runs import PLACES, SIDE, from_disk

ROOMS = {"crops.objects": PLACES, "crops.outlines": SIDE}
SMALL = dict(width=8, hidden=16)
REGIONS = dict(
    name="mask_rcnn", box_layers=1, mask_layers=1, anchors=16, level_proposals=(12, 12),
    proposals=12, regions=8, canonical=28.0, found=5, candidates=20, **SMALL,
)  # fmt: skip
QUERIES = dict(heads=2, encoder_layers=1, **SMALL)
DINO = dict(
    name="dino_detector", queries=9, layers=1, groups=2, found=5, pyramid="simple", **QUERIES
)
MASKS = dict(
    name="mask2former", mask_width=8, queries=6, rounds=1, encoder_hidden=16, points=32,
    pyramid="simple", **QUERIES,
)  # fmt: skip
CASES = {
    "mask_rcnn": (dict(name="mask_rcnn", classes=11), dict(detection=REGIONS)),
    "mask_rcnn of boxes": (
        dict(name="mask_rcnn", classes=11, masks=False),
        dict(detection=REGIONS | dict(masks=False)),
    ),
    "mask_rcnn of LVIS": (
        dict(name="mask_rcnn", classes=11, masks=False, softmax=False, federated=5),
        dict(detection=REGIONS | dict(masks=False, softmax=False)),
    ),
    "dino_detector": (
        dict(name="dino_detector", classes=11, blocks="last"), dict(detection=DINO)
    ),
    "mask2former": (
        dict(name="mask2former", classes=11, blocks="last", most=6), dict(segmentation=MASKS)
    ),
    "mask2former of objects": (
        dict(name="mask2former", classes=11, blocks="last", finds="objects"),
        dict(segmentation=MASKS | dict(finds="objects")),
    ),
}  # fmt: skip
TRACK = {
    "decoders": dict(tracking=dict(name="swin_track", width=8, depth=1, heads=2)),
    "augment": {}, "crops.template": 8, "encoder.patch": 4,
}  # fmt: skip


def of_tracks(batch):
    """A batch whose view b is a template, and that has one object in every image."""
    rng = np.random.default_rng(0)
    ends = np.sort(rng.uniform(0, 16, (8, 1, 2, 2)), axis=2).reshape(8, 1, 4)
    objects = Objects(ends.astype(np.float32), np.zeros((8, 1), np.int32))
    said = ViewAnnotations(objects=objects, present={"objects": np.ones(8, bool)})
    return batch._replace(annotations={"a": said}, images=batch.images | {"b": batch.images["l0"]})


@pytest.fixture(scope="module")
def toy(shrunk):
    """toy(case, **changes) -> Config of a small detector on images of 16 pixels."""

    def config(case, **changes):
        objective, decoders = CASES[case]
        changes = {"objective": objective, "decoders": decoders, "augment": {}, **ROOMS, **changes}
        return shrunk("detection", **changes)

    return config


def test_a_tracker_reads_both_views_and_has_the_loss_of_the_parts(shrunk, batch, one_device, grads):
    """Value and gradient through the engine, beside the head on maps of both views."""
    mesh, devices = one_device
    run = assemble.assemble(shrunk("swin_track", mesh=mesh, **TRACK), images=64, devices=devices)
    assert run.method.images == {"a", "b"} and run.method.said("objects") == 1
    given = of_tracks(batch)
    objects = given.annotations["a"].objects
    state, loss, slope = grads(run, given)

    def alone(params):
        seen, network = views(jax.random.key(3), given, {}), run.network
        strides = network.towers["image"].strides
        maps = []
        for name in ("a", "b"):
            image = seen[name].data
            features = network.encode(params, "image", image, train=False)
            where = dict(strides=strides, size=image.shape[1:3])
            maps += geometry.mapped(features, (), **where).maps
        answer = network.decode(params, "tracking", Features(maps=tuple(maps)), size=(16, 16))
        corners = objects.corners[:, 0]
        parts = losses.tracked_sureness(answer, corners), losses.tracked_place(answer, corners)
        return 1.5 * sum(part.mean() for part in parts)

    expected, wanted_slope = jax.jit(jax.value_and_grad(alone))(state.params)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    for (path, one), other in zip(
        jax.tree.leaves_with_path(slope), jax.tree.leaves(wanted_slope), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=5e-6, err_msg=str(path))
    many = assemble.assemble(shrunk("swin_track", mesh=dict(data=4, fsdp=2), **TRACK), images=64)
    np.testing.assert_allclose(grads(many, given, jax.device_get(state))[1], loss, rtol=1e-5)


def test_what_they_read():
    found = methods.mask_rcnn(classes=7)
    assert (found.images, found.annotations, found.said("objects")) == ({"a"}, ("objects",), 7)
    assert found.outlined and not methods.mask_rcnn(masks=False).outlined
    assert found.decoders({}) == {"detection": 7} and found.maps == {"image": "last"}
    assert not found.counted and methods.mask_rcnn(softmax=False, federated=50).counted
    assert not methods.mask_rcnn(softmax=False).counted
    assert "masks" in found.terms and "masks" not in methods.mask_rcnn(masks=False).terms
    assert methods.mask2former(classes=19).annotations == ("mask",)
    assert methods.mask2former(finds="objects").outlined
    assert methods.dino_detector().maps == {"image": "stages"}
    assert not set(methods.DENSE) & set(methods.PUBLISHED)


@pytest.mark.parametrize(
    "method, room, places",
    [
        (methods.mask2former(classes=5, finds="objects"), "config.crops.objects", 4),
        (methods.mask2former(classes=5, most=4), "config.objective.most", 4),
        (methods.dino_detector(classes=5), "config.crops.objects", 4),
    ],
)
def test_fewer_queries_than_places_are_refused(method, room, places):
    corners, kinds = np.zeros((1, places, 4), np.float32), np.zeros((1, places), np.int32)
    things = Objects(corners, kinds, np.ones((1, places, 2, 2), np.uint8))
    target = Target(target_index=np.zeros((1, 8, 8), np.int32), objects=things, size=(8, 8))
    if room == "config.objective.most":
        target = target._replace(objects=None)
    boxes = QueryBoxes(np.zeros((1, 2, 3, 5)), np.zeros((1, 2, 3, 4)))
    said = BoxAnswers(boxes, boxes)
    if "masks" in method.terms:
        said = MaskAnswers(np.zeros((1, 2, 3, 6)), np.zeros((1, 2, 3, 4, 4)), None)
    (term,) = method.terms.values()
    with pytest.raises(ConfigError, match=f"3 queries, .* places for 4, {room}; .*{room}=3, or"):
        term.predict.score(said, target)


def test_categories_are_asked_as_the_head_says_them(toy, batch, grads, one_device):
    with pytest.raises(
        ConfigError, match="compares 50 categories of an image, federated, but with"
    ):
        methods.mask_rcnn(federated=50)
    mesh, devices = one_device
    decoders = dict(detection=REGIONS | dict(masks=False))
    config = toy("mask_rcnn of LVIS", mesh=mesh, decoders=decoders)
    run = assemble.assemble(config, images=64, devices=devices)
    with pytest.raises(ValueError, match="have softmax=False, those of its head the contrary"):
        grads(run, batch)


def answered(run, params, seen, key):
    """What the head of a run says while it learns, by the network alone."""
    network, tower = run.network, run.network.towers["image"]
    image = seen["a"].data
    numbers = geometry.numbered(run.method.maps["image"], tower.depths)
    features = network.encode(params, "image", image, train=False)
    features = geometry.mapped(features, numbers, strides=tower.strides, size=image.shape[1:3])
    (head,), first = network.decoders, next(iter(run.method.terms))
    objects = seen["objects"].data if "objects" in run.method.sources else None
    if objects is not None and not run.method.outlined:
        objects = objects._replace(masks=None)
    how = dict(size=image.shape[1:3], objects=objects, train=True)
    return network.decode(params, head, features, key=named(key, f"decode/{first}"), **how)


def wanted(case, answer, seen):
    """The loss by the numerics alone."""
    size = seen["a"].data.shape[1:3]
    if case.startswith("mask_rcnn"):
        kinds = losses.region_categories
        if case == "mask_rcnn of LVIS":
            shown = seen["objects"].data.shown
            kinds = functools.partial(losses.region_categories_federated, shown=shown, count=5)
        parts = [losses.anchor_objectness, losses.anchor_boxes_l1, kinds]
        parts += [losses.region_boxes_l1, losses.region_masks][: 1 + (case == "mask_rcnn")]
        return sum(part(answer).mean() for part in parts)
    if case == "dino_detector":
        one, five, two = losses.box_set(answer, seen["objects"].data, size=size)
        return (one + 5 * five + 2 * two).mean()
    if case == "mask2former of objects":
        there = losses.masks_of_objects(seen["objects"].data, size=size)
    else:
        there = losses.masks_of_categories(seen["mask"].data, classes=11, most=6)
    two, five, again = losses.mask_set(answer, there)
    return (2 * two + 5 * five + 5 * again).mean()


SELDOM = (
    "mask2former of objects",
    "dino_detector",
    "mask_rcnn of LVIS",
)  # whose program the test of eight devices compiles, too


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow) if case in SELDOM else case for case in CASES],
)
def test_the_engine_has_the_loss_and_gradient_of_the_parts(case, toy, batch, fits, one_device):
    mesh, devices = one_device
    config = toy(case, mesh=mesh)
    run = assemble.finish(assemble.check(config, devices=devices), images=64)
    given = fits(run, batch)
    # Each sample says something, so that rows count alike.
    said = given.annotations["a"]
    said = said._replace(present={k: np.ones(8, bool) for k in said.present})
    given = given._replace(annotations={"a": said})
    state, key = run.create(), jax.random.key(3)
    seen = views(key, given, {})
    prepared = fw.prepare(run.method, run.network, seen, key=key)
    how = dict(progress=0.0, key=key)

    @jax.jit
    def both(params):
        result = fw.gradients(
            run.method, run.network, run.weighting, params, state.slots, prepared,
            balance=state.balance, **how,
        )  # fmt: skip
        alone = lambda params: wanted(case, answered(run, params, seen, key), seen)  # noqa: E731
        return (result.loss, result.params), jax.value_and_grad(alone)(params)

    (ours, slope), (theirs, expected) = both(state.params)
    assert float(theirs) > 0
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    for (path, one), other in zip(
        jax.tree.leaves_with_path(slope), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=5e-6, err_msg=str(path))


STEPS = {"duration": "30 steps", "warmup": "3 steps", "optimizer.lr": 3e-3}


class Trained(NamedTuple):
    """A run of so many steps over one batch, what it lost in each, and its states on the host."""

    run: Any
    advance: Callable
    given: Any
    losses: list
    states: dict


@pytest.fixture(scope="module")
def trained(toy, shrunk, batch, fits, one_device):
    """trained(case, steps) -> Trained, with the states in front of the steps 0, 1, 2 and 4."""
    # The optimiser is a library's, which promotes an integer.
    mesh, devices = one_device
    small = STEPS | {"mesh": mesh}

    @functools.lru_cache
    def made(case, steps):
        track = case == "swin_track"
        config = shrunk(case, **TRACK, **small) if track else toy(case, **small)
        run = assemble.assemble(config, images=64, devices=devices)
        leaves, advance = jax.tree.leaves(run.create()), run.compiled()
        given = sharding.put(fits(run, of_tracks(batch) if track else batch), run.mesh)
        states, losses, tree = {}, [], jax.tree.structure(run.abstract)
        with jax.set_mesh(run.mesh), jax.numpy_dtype_promotion("standard"):
            for step in range(steps + 1):
                if step in (0, 1, 2, 4, steps):
                    states[step] = jax.tree.unflatten(tree, jax.device_get(leaves))
                leaves, metrics = advance(leaves, given)
                losses.append(sum(float(metrics[f"train/{name}"]) for name in run.method.terms))
        return Trained(run, advance, given, losses, states)

    return made


LONG = dict.fromkeys(("mask_rcnn", "mask2former of objects", "dino_detector", "swin_track"), 4)
LONG["mask_rcnn"] = 30  # whose losses are watched, too


def test_losses_fall_and_everything_moves(trained):
    _, _, _, losses, states = trained("mask_rcnn", LONG["mask_rcnn"])
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    first, last = (states[step].params for step in (0, 30))
    paths = zip(jax.tree.leaves_with_path(first), jax.tree.leaves(last), strict=True)
    still = [jax.tree_util.keystr(path) for (path, a), b in paths if (a == b).all()]
    assert not still


ODD = {
    "nothing": [[0, 0, 0, 0]],
    "no width, no height, neither": [[2, 5, 9, 5], [4, 3, 4, 11], [6, 6, 6, 6]],
    "reversed": [[9, 3, 2, 12], [3, 12, 9, 2], [12, 12, 2, 2]],
    "beyond the image": [[-20, -30, -4, -2], [40, 3, 60, 9], [-1e4, -1e4, 1e4, 1e4]],
    "at its edges": [[0, 0, 1e-6, 16], [16, 0, 16, 16], [0, 0, 16, 16]],
}


@pytest.mark.parametrize("case", LONG)
def test_odd_boxes_leave_loss_and_gradient_finite(case, trained):
    """Whatever a source may have let pass: the step counts, and no weight is lost."""
    run, advance, given, _, states = trained(case, LONG[case])
    said = given.annotations["a"]
    places = said.objects.categories.shape[1]
    for what, boxes in ODD.items():
        corners = np.resize(np.float32(boxes), (8, places, 4))
        kinds = np.full((8, places), -1 if what == "nothing" else 0, np.int32)
        objects = said.objects._replace(corners=corners, categories=kinds)
        present = {name: np.ones(8, bool) for name in said.present}
        odd = {"a": said._replace(objects=objects, present=present)}
        leaves = jax.tree.leaves(jax.device_put(states[2], run.shardings))
        with jax.set_mesh(run.mesh), jax.numpy_dtype_promotion("standard"):
            leaves, metrics = advance(
                leaves, sharding.put(given._replace(annotations=odd), run.mesh)
            )
        end = jax.tree.unflatten(jax.tree.structure(run.abstract), jax.device_get(leaves))
        assert np.isfinite(metrics["train/loss"]) and np.isfinite(metrics["optim/grad_norm"]), what
        assert (int(end.step), int(end.skipped)) == (3, 0), what
        for path, one in trees.named_leaves(end.params):
            assert np.isfinite(one).all(), (what, path)
        before = jax.tree.leaves(states[2].params)
        moved = [(a != b).any() for a, b in zip(jax.tree.leaves(end.params), before, strict=True)]
        assert np.mean(moved) > 0.5, what


@pytest.mark.parametrize("case", LONG)
def test_a_state_from_disk_goes_on_to_the_bit(case, trained, tmp_path):
    """Two steps, a disk and two steps are four: of weights, moments, averages, counts and keys."""
    run, advance, given, _, states = trained(case, LONG[case])
    leaves = from_disk(run, states[2], tmp_path / "checkpoints")
    with jax.set_mesh(run.mesh), jax.numpy_dtype_promotion("standard"):
        for _ in range(2):
            leaves, _ = advance(leaves, given)
    assert int(states[4].step) == 4 and int(states[4].skipped) == 0
    moved = jax.tree.map(lambda a, b: (a != b).any(), states[2].params, states[4].params)
    assert np.mean(jax.tree.leaves(moved)) > 0.8, "hardly anything learns, so nothing is shown"
    for one, two in zip(jax.device_get(leaves), jax.tree.leaves(states[4]), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("case", [case for case in LONG if case != "swin_track"])
def test_eight_devices_equal_one(case, toy, trained, batch, fits, distance, monkeypatch):
    """What is drawn of a batch does not depend on where its rows are; layers of queries, however
    small, are split, and none by its axis of layers."""
    one = trained(case, LONG[case])
    queries = case != "mask_rcnn"
    if queries:
        monkeypatch.setattr(sharding, "SMALL", 16)
    mesh = dict(data=1, fsdp=8) if queries else dict(data=4, fsdp=2)
    many = assemble.assemble(toy(case, mesh=mesh, **STEPS), images=64)
    state = jax.device_put(one.states[0], many.shardings)
    specs = {path: x.sharding.spec for path, x in trees.named_leaves(state.params)}
    stacked = [spec for path, spec in specs.items() if sharding.STACKED.search(path)]
    heads = [spec for path, spec in specs.items() if "decoders/" in path and "/blocks/" in path]
    assert all(not spec or spec[0] is None for spec in stacked)
    assert any(heads) == queries
    given = sharding.put(fits(many, batch), many.mesh)
    with jax.set_mesh(many.mesh), jax.numpy_dtype_promotion("standard"):
        leaves, metrics = many.compiled()(jax.tree.leaves(state), given)
    second = jax.tree.unflatten(jax.tree.structure(many.abstract), jax.device_get(leaves))
    lost = sum(float(metrics[f"train/{name}"]) for name in many.method.terms)
    np.testing.assert_allclose(lost, one.losses[0], rtol=1e-5)
    # Adam's first moments, behind one step a tenth of the gradients.
    moments = lambda state: {p: x for p, x in trees.named_leaves(state.optimizer) if "/mu/" in p}  # noqa: E731
    assert distance(moments(second), moments(one.states[1])) < 1e-4
