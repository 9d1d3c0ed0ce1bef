"""Every method of the table as it is trained: 8 devices, learning, bad steps, refused configs."""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import build, methods, networks, trees
from m3i_jax.build import ConfigError
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import Run, assemble, check, finish
from m3i_jax.training.state import TrainState
from m3i_jax.types import Batch
from tests.toy_runs import WIDE, drawn, from_disk


class Trained(NamedTuple):
    """12 steps of a run over one repeated batch, and what it was at the start, middle and end."""

    run: Run
    advance: Callable
    batch: Batch
    losses: list
    start: TrainState
    second: TrainState
    middle: TrainState
    end: TrainState


# Which of four cells were replaced is not learnt in 12 steps; of sixteen it is.
FINE = ("cim revdet",)


@pytest.fixture(scope="module")
def trained(ready, fits):
    """trained(method) -> Trained, each method once."""

    @functools.lru_cache(maxsize=2)
    def make(name):
        run, start, advance = ready(name, needs=name not in FINE)
        leaves = jax.tree.leaves(jax.device_put(start, run.shardings))
        given, losses, seen = sharding.put(fits(run, drawn(WIDE)), run.mesh), [], []
        with jax.set_mesh(run.mesh):
            for step in range(12):
                leaves, metrics = advance(leaves, given)
                losses.append({n: float(v) for n, v in jax.device_get(metrics).items()})
                if step in (0, 5, 11):
                    seen.append(jax.device_get(leaves))
        states = [jax.tree.unflatten(jax.tree.structure(start), kept) for kept in seen]
        return Trained(run, advance, given, losses, start, *states)

    return make


# What draws a first state knows nothing of methods: these stand for all.
DRAWN = ("m3i", "m3i images", "mae", "byol", "cim", "dino")


def moments(state):
    """Adam's first moments, behind one step a tenth of the gradients, and batch statistics."""
    leaves = trees.named_leaves((state.optimizer, state.params))
    return {p: x for p, x in leaves if "/mu/" in p or re.search(trees.STATISTICS, p)}


def test_eight_devices_equal_one(any_method, trained, learner, fits, distance):
    one = trained(any_method)
    config = learner(any_method, dict(data=4, fsdp=2), needs=any_method not in FINE)
    many = assemble(config, images=1000)
    made = any_method in DRAWN
    state = many.create() if made else jax.device_put(one.start, many.shardings)
    split = [x for x in jax.tree.leaves(state.params) if not x.sharding.is_fully_replicated]
    assert split, "nothing was sharded, so the comparison would show nothing"
    with jax.set_mesh(many.mesh):
        given = sharding.put(fits(many, drawn(WIDE)), many.mesh)
        leaves, metrics = many.compiled()(jax.tree.leaves(state), given)
    second = jax.tree.unflatten(jax.tree.structure(many.abstract), jax.device_get(leaves))
    for name in ("train/loss", "optim/grad_norm"):
        np.testing.assert_allclose(metrics[name], one.losses[0][name], rtol=1e-5)
    found, right = moments(second), moments(one.second)
    paths = [path for path, _ in trees.named_leaves(one.start.params)]
    left = [p for p in paths if not any(name.endswith("/" + p) for name in right)]
    assert all(p.startswith("encoders/image/patch_embed") for p in left), left  # MoCo v3's is drawn
    # MSN divides cosines by 0.1 and raises shares to the fourth power: rounding grows forty-fold.
    limit = 4e-5 if any_method == "msn" else 1e-5
    assert distance(found, right) <= limit


# Their loss is measured against codes that move, so it need not fall while they learn.
MOVING = ("moco", "densecl", "dino", "ibot", "dinov2", "dinov3", "msn", "table2 h")


def test_losses_fall_and_everything_moves(any_method, trained):
    run, _, _, losses, start, _, _, end = trained(any_method)
    terms = set() if any_method in MOVING else set(run.method.terms)
    for name in terms - {"commitment"}:  # to words that move
        first, last = losses[0][f"train/{name}"], losses[11][f"train/{name}"]
        assert last < first, f"{name}: {first} -> {last}"
    # MoCo v3 leaves its patch embedding as it was drawn.
    frozen = "encoders/image/patch_embed" if run.config.encoder.get("frozen_patch") else "none"
    still = [
        path
        for path, moved in trees.named_leaves(
            jax.tree.map(lambda a, b: (a != b).any(), start, end).params
        )
        if not moved and not path.startswith(frozen)
    ]
    # Keys' biases shift every logit alike, so softmax hides them but for rounding.
    assert not still, still
    moved = jax.tree.map(lambda a, b: (a != b).any(), start.slots["ema"], end.slots["ema"])
    assert all(leaf for path, leaf in trees.named_leaves(moved) if not path.startswith(frozen))
    assert int(end.step) == 12 and int(end.skipped) == 0


def test_targets_keep_their_rank(any_method, trained):
    losses = trained(any_method).losses
    for name in losses[0]:
        if name.endswith("/spread") and losses[0][name] > 0.1:
            assert losses[11][name] > 0.3 * losses[0][name], name


def test_a_state_from_disk_goes_on_to_the_bit(any_method, trained, tmp_path):
    run, advance, given, _, _, _, middle, end = trained(any_method)
    leaves = from_disk(run, middle, tmp_path / "checkpoints")
    with jax.set_mesh(run.mesh):
        for _ in range(6):
            leaves, _ = advance(leaves, given)
    for one, two in zip(jax.device_get(leaves), jax.tree.leaves(end), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_step_that_is_not_finite_changes_nothing_but_the_counters(trained):
    run, _, given, _, _, _, _, before = trained("m3i")
    # A picture that is not a number, as a broken filter makes it.
    hurt = run._replace(augment={"a": lambda key, x: x * jnp.nan})
    with jax.set_mesh(run.mesh):
        leaves = jax.tree.leaves(jax.device_put(before, run.shardings))
        leaves, metrics = hurt.compiled()(leaves, given)
    after = jax.tree.unflatten(jax.tree.structure(before), jax.device_get(leaves))
    assert int(after.step) == 13 and int(after.skipped) == 1
    assert not np.isfinite(metrics["train/loss"])
    for name in ("params", "optimizer", "slots", "balance"):
        same = jax.tree.map(np.array_equal, getattr(before, name), getattr(after, name))
        assert all(jax.tree.leaves(same)), name


@pytest.mark.parametrize("method", ["m3i images", "mixed_classification"])
def test_accumulated_steps_equal_whole_ones(method, shrunk, batch, fits, one_device):
    mesh, device = one_device
    states = []
    for parts in (1, 4):
        config = shrunk(
            method,
            mesh=mesh,
            accumulate=parts,
            **{"objective.mix_group": 2, "optimizer.eps": 0.1},
        )
        run = assemble(config, images=100, devices=device)
        state, step = run.create(), jax.jit(run.step())
        with jax.set_mesh(run.mesh):
            for _ in range(2):
                state, _ = step(state, sharding.put(fits(run, batch), run.mesh))
        states.append(jax.device_get(state.params))
    # Adam divides by the root of its second moment, which turns rounding into anything where the
    # gradient is rounding; eps = 0.1 makes the update smooth in the gradient.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), *states)


@pytest.mark.parametrize(
    "method, changes, sentence",
    [
        ("m3i", {"accumulate": 2}, "a gradient norm is of the whole batch"),
        ("m3i", {"accumulate": 2, "weighting": {"name": "constant"}},
         "cannot cut the batch of term 'text_first': it contrasts each row with the others"),
        ("m3i images", {"accumulate": 2}, "cuts through the partners of view 'mix'"),
        ("siamese_im", {"accumulate": 2}, "its regulariser is a statistic of the batch"),
        ("siamese_im without unigrad", {"accumulate": 2}, "normalises over the batch"),
        ("m3i", {"mesh.sums": "bfloat16"}, "products in float32 are summed in float32"),
        ("m3i", {"image": 18}, "is not divisible by patch"),
        ("m3i", {"encoder.name": "vit_nan"}, "did you mean 'vit_nano'?"),
        ("m3i", {"objective.name": "m3j"}, "did you mean 'm3i'?"),
        ("siamese_im", {"decoders.projector.name": "projecto"}, "did you mean 'projector'?"),
        ("m3i", {"objective.hiden": 0.5}, "did you mean 'hidden'?"),
        ("m3i", {"objective.target_view_first": "sme"}, "did you mean 'same'?"),
        ("m3i", {"target.momentun": 0.5}, "did you mean 'momentum'?"),
        ("m3i", {"weighting.name": "gradient"}, "did you mean 'gradient_norm'?"),
        ("m3i", {"decoders": {}}, "'image', which config.decoders lacks; there are: none"),
        ("m3i", {"towers": {}}, "'category', which config.towers lacks; there are: none"),
        ("milan", {"target.tower": "teachr"}, "lacks; did you mean 'teacher'?"),
        ("moco_v3", {"decoders.projector.lout": 8}, "did you mean 'out'?"),
        ("moco", {"target.heads": "projectro"}, "lacks; did you mean 'projector'?"),
        ("m3i images", {"weighting": {"name": "gradient_norm"}}, "set config.weighting={'name'"),
        ("classification", {"target": {"name": "ema"}}, "has no target to choose"),
        ("m3i", {"batch": 12}, "does not divide over"),
        ("m3i", {"augment.a": {"blurr": 1.0}}, "did you mean 'blur'?"),
        ("m3i", {"duration": "12 stesp"}, "did you mean '12 steps'?"),
        ("m3i", {"optimizer.lrr": 1.0}, "did you mean 'lr'?"),
        ("cim", {"towers.generator.patch": 8, "towers.generator.shares": 0},
         "view 'corrupted' is made cell by cell of the codes of several towers: 'tokenizer' has "
         "4x4, 'generator' has 2x2"),
        ("cim_classification", {"towers.tokenizer.patch": 8}, "view 'cim/corrupted' is made"),
        ("cim revdet", {"encoder.patch": 8, "towers.generator.shares": 0},
         "term 'revdet' asks 4x4 cells, but decoder 'replaced' answers for 2x2"),
        ("cim revdet", {"decoders.replaced.split": 2}, "decoders.replaced.split is 2"),
        ("cim", {"decoders.pixels.split": 2}, "decoder 'pixels' answers for 8x8"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_with_a_sentence(method, changes, sentence, shrunk):
    with pytest.raises(ConfigError) as error:
        assemble(shrunk(method, **changes), images=100)
    assert sentence in str(error.value)


OFTEN_WITH_HEADS = ("m3i", "mae", "siamese_im", "beit_v2")


@pytest.mark.parametrize("heads", [1024, 7])
def test_heads_that_divide_no_width_are_refused_before_the_data_is_asked_for(heads, shrunk):
    """By the check itself, of every kind of decoder and tower that has heads."""
    refused = set()
    for method in OFTEN_WITH_HEADS:
        plain = shrunk(method)
        blocks = {f"decoders.{name}": block for name, block in plain.decoders.items()}
        blocks |= {f"towers.{name}": block for name, block in plain.towers.items()}
        blocks |= {"encoder": plain.encoder}
        for path, block in blocks.items():
            if "heads" in block or block["name"] in ("attention_pool", "projector"):
                with pytest.raises(ConfigError, match=f"config.{path}.*divisible by .*{heads}"):
                    check(shrunk(method, **{f"{path}.heads": heads}))
                refused.add(block["name"])
    assert {"attention_pool", "projector", "class_branch", "infill"} <= refused


def test_a_network_is_built_once_on_the_way_to_a_start(shrunk, monkeypatch):
    """What was checked is what runs."""
    built, build = [], networks.build
    monkeypatch.setattr(networks, "build", lambda *a, **k: built.append(build(*a, **k)) or built[0])
    parts = check(shrunk("mae", duration="9 epochs", warmup="0 steps"))
    run = finish(parts, images=100)
    assert len(built) == 1 and run.network is parts.network is built[0]
    assert run.weighting is parts.weighting and run.augment is parts.augment
    assert run.mesh is parts.mesh and run.config is parts.config
    long, short = (finish(parts, images=n).method.slots["ema"].settings for n in (10**6, 100))
    assert long != short, "the moving average fits the length of the run"


def test_what_a_config_describes_is_checked_once_and_built_once(shrunk, monkeypatch):
    config, checked, built = shrunk("siamese_im", target={"name": "ema"}), [], []
    check, siamese_im = build.check, methods.METHODS["siamese_im"]

    def counted(fn, kwargs, *, what, **how):
        checked.append((what, fn))
        return check(fn, kwargs, what=what, **how)

    @functools.wraps(siamese_im)
    def building(**arguments):
        built.append(arguments)
        return siamese_im(**arguments)

    monkeypatch.setattr(build, "check", counted)
    monkeypatch.setitem(methods.METHODS, "siamese_im", building)
    run = assemble(config, images=100)
    blocks = ("encoder", "decoders", "objective", "target", "optimizer", "weighting", "average")
    blocks += ("mesh",)
    twice = {what for what, fn in checked if checked.count((what, fn)) > 1}
    assert not [what for what in twice if what.startswith(tuple(f"config.{b}" for b in blocks))]
    assert {f"config.{block}" for block in blocks} - {"config.decoders"} <= {w for w, _ in checked}
    assert len(built) == 1 and run.method.slots["ema"].settings[0] == 0.0  # μ₀ of 12 steps


def test_methods_inside_a_method_the_schedule_and_the_mesh_are_checked_once(shrunk, monkeypatch):
    config, checked, check = shrunk("mae"), [], build.check
    inner = {"a": {"name": "mae", "target": {"name": "pixels"}}, "b": {"name": "simmim", "unit": 1}}
    decoders = {**config.decoders, "pixels": {"name": "linear"}}
    config = dataclasses.replace(
        config,
        objective={"name": "combine", "methods": inner},
        optimizer={**config.optimizer, "schedule": {"name": "constant"}, "end_lr": 0.0},
        mesh={"data": 1},
        target={},
        decoders=decoders,
    )

    def counted(fn, kwargs, *, what, **how):
        checked.append(what)
        return check(fn, kwargs, what=what, **how)

    monkeypatch.setattr(build, "check", counted)
    assert set(assemble(config, images=100, devices=jax.devices()[:1]).method.groups) == {"a", "b"}
    at = "config.objective.methods."
    # A method is held to its function, and to the record of what is said beside it.
    wanted = {f"{at}a": 2, f"{at}b": 2, f"{at}a.target": 1}
    wanted |= {"config.optimizer.schedule": 1, "config.mesh": 1}
    assert {what: checked.count(what) for what in wanted} == wanted
