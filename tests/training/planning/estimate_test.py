"""Formulas beside what the compiler of TPUs says of the same steps, and beside real shardings."""

import functools

import jax
import pytest

from m3i_jax import cli
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate, peaks
from m3i_jax.training.planning.estimate import Layout
from m3i_jax.training.planning.operands import Operand
from m3i_jax.training.planning.plan import of_state

FULL = {"encoder.remat": "full", "decoders.image.remat": "full"}


@pytest.fixture(scope="module")
def traced():
    def make(name, **changes):
        config = cli.load(f"imagenet/{name}").to_dict() | {"batch": 512}
        for key, value in changes.items():
            *blocks, last = key.split(".")
            functools.reduce(dict.__getitem__, blocks, config)[last] = value
        return estimate.traced(Config.of(config))

    return make


@pytest.mark.parametrize(
    "name, changes, layout, peak, traffic, sent",
    [
        ("mae_vit_b16", {}, Layout(8), 4.26, 19.5, 0.782),
        ("mae_vit_b16", FULL, Layout(8), 2.33, 16.5, 0.782),
        pytest.param("m3i_vit_b16", {}, Layout(8), 9.63, 70.8, 0.842, marks=pytest.mark.slow),
        pytest.param(
            *("dino_vit_s16", {"encoder.name": "vit_b16"}, Layout(8, zero1=True)),
            *(14.55, 165.3, 1.193),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["MAE", "MAE that recomputes", "M3I", "DINO"],
)
def test_a_step_is_near_its_compiled_program(name, changes, layout, peak, traffic, sent, traced):
    """GiB and GB of docs/benchmarks.md, on 8 x v5e."""
    run = traced(name, **changes)
    found = estimate.needs(run, layout)
    assert found.peak / 2**30 == pytest.approx(peak, rel=0.1)
    assert found.traffic / 1e9 == pytest.approx(traffic, rel=0.1)
    assert found.sent / 1e9 == pytest.approx(sent, rel=0.06)


def test_layouts_differ_by_what_they_split(small):
    """A ring sends seven eighths of the gradients twice; in eight parts of the weights, it gathers
    what it scattered in bfloat16, forwards and backwards."""
    run = small[1]
    trained = 4 * sum(x.size for x in jax.tree.leaves(run.state.params))
    found, split = estimate.needs(run, Layout(8)), estimate.needs(run, Layout(1, 8))
    parted = estimate.needs(run, Layout(8, zero1=True))
    assert found.sent == split.sent == parted.sent == pytest.approx(2 * 7 / 8 * trained)
    assert split.memory["optimizer"] < found.memory["optimizer"]
    assert parted.memory["online"] == found.memory["online"]
    # A target's average that is kept in parts is gathered too, in bfloat16.
    target = run._replace(followed=trained)
    for layout, more in ((Layout(8), 0), (Layout(1, 8), 1), (Layout(8, zero1=True), 1)):
        extra = estimate.needs(target, layout).sent - found.sent
        assert extra == pytest.approx(more * 7 / 8 * trained / 2)
    # A frozen network is kept in parts where the trained one is, and gathered once, in bfloat16.
    teacher = run._replace(frozen=trained)
    for layout, more in ((Layout(8), 0), (Layout(1, 8), 1), (Layout(8, zero1=True), 0)):
        extra = estimate.needs(teacher, layout).sent - found.sent
        assert extra == pytest.approx(more * 7 / 8 * trained / 2)
    times = found.seconds(peaks.chip("TPU v5e"), "bfloat16")
    assert times["products"] == found.products / 197e12 and times["links"] == found.sent / 200e9
    assert estimate.waiting({"products": 2.0, "traffic": 3.0, "links": 1.0}) == 1 / 4


def test_only_what_does_not_fit_on_the_chip_goes_to_memory_between_products(small):
    """Of an image 1 MiB five times, 3 MiB twice and 5 MiB once; of eight images 40 MiB go."""
    arrays = (Operand(2**20, 5), Operand(3 * 2**20, 2), Operand(5 * 2**20, 1))
    run, none = (small[1]._replace(operands=some, batch=64) for some in (arrays, ()))
    layouts = (Layout(8), 5), (Layout(4), 11), (Layout(4, accumulate=2), 5), (Layout(1), 16)
    for layout, large in layouts:
        more = estimate.needs(run, layout).traffic - estimate.needs(none, layout).traffic
        assert more == pytest.approx(2 * 64 / layout.data * large * 2**20)


@pytest.mark.slow
def test_of_convolutions_what_they_made_is_kept_where_they_read_what_is_computed(traced):
    """GB and GiB of docs/benchmarks.md, as above; calls read arrays, and more of them are kept."""
    run = traced("simclr_resnet50")
    found = estimate.needs(run, Layout(8))
    assert found.traffic / 1e9 == pytest.approx(44.2, rel=0.1)
    assert found.peak / 2**30 == pytest.approx(4.71, rel=0.1)
    assert not peaks.chip("NVIDIA H100").fused and peaks.chip("TPU v5e").fused
    calls = estimate.needs(run, Layout(8), fused=False).memory["activations"]
    assert calls == 64 * run.held and calls > 4 * found.memory["activations"]


def test_the_state_in_parts_is_that_of_a_run(shrunk):
    rules = (("fc1", "replicated"),)
    config = shrunk("mae", mesh={"data": 4, "fsdp": 2, "zero1": True, "rules": rules})
    run = assemble(config, images=100)
    found = estimate.of_state(run.abstract, Layout(4, 2, True), rules=rules)
    assert found["online"] > estimate.of_state(run.abstract, Layout(4, 2, True))["online"]
    want = of_state(run)
    assert found.pop("ema") == want.pop("EMA") and found == want


def test_micro_batches_hold_less_and_a_second_gradient(small):
    one, four = (estimate.needs(small[1], Layout(1, accumulate=n)).memory for n in (1, 4))
    assert four["activations"] == one["activations"] / 4
    assert four["gradients"] == 2 * one["gradients"]


def test_recomputing_is_said_to_blocks_that_can(shrunk):
    new = estimate.recomputing(shrunk("m3i"), remat="full")
    assert new.encoder["remat"] == new.decoders["image"]["remat"] == "full"
    assert "remat" not in new.towers["category"]
