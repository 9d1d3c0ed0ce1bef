"""Formulas beside what the compiler of TPUs says of the same steps, and beside real shardings."""

import jax
import pytest

from m3i_jax import cli
from m3i_jax.training.assemble import assemble
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate, peaks
from m3i_jax.training.planning.estimate import Layout
from m3i_jax.training.planning.plan import of_state


@pytest.fixture(scope="module")
def traced():
    def make(name, batch):
        return estimate.traced(Config.of(cli.load(name).to_dict() | {"batch": batch}))

    return make


@pytest.mark.parametrize(
    "name, peak, traffic",
    [
        ("mae_vit_b16", 4.26, 19.5),
        pytest.param("m3i_vit_b16", 9.63, 70.8, marks=pytest.mark.slow),
    ],
)
def test_a_step_is_near_its_compiled_program(name, peak, traffic, traced):
    """GiB and GB of docs/benchmarks.md, on 8 x v5e, data parallel."""
    run = traced(f"imagenet/{name}", 512)
    found = estimate.needs(run, Layout(8))
    assert found.peak / 2**30 == pytest.approx(peak, rel=0.1)
    assert found.traffic / 1e9 == pytest.approx(traffic, rel=0.1)
    # A ring sends seven eighths of the gradients twice; in eight parts of the weights, it gathers
    # what it scattered in bfloat16, forwards and backwards.
    trained = 4 * sum(x.size for x in jax.tree.leaves(run.state.params))
    assert found.sent == pytest.approx(2 * 7 / 8 * trained)
    split = estimate.needs(run, Layout(1, 8))
    assert split.sent == pytest.approx(2 * 7 / 8 * trained)
    assert split.memory["optimizer"] < found.memory["optimizer"] / 7
    assert estimate.needs(run, Layout(8, zero1=True)).memory["online"] == found.memory["online"]
    times = found.seconds(peaks.chip("TPU v5e"), "bfloat16")
    assert times["products"] == found.products / 197e12 and times["links"] == found.sent / 200e9
    assert estimate.waiting({"products": 2.0, "traffic": 3.0, "links": 1.0}) == 1 / 4


@pytest.mark.slow
def test_of_convolutions_what_they_made_is_kept_where_they_read_what_is_computed(traced):
    """GB and GiB of docs/benchmarks.md, as above; calls read arrays, and more of them are kept."""
    run = traced("imagenet/simclr_resnet50", 512)
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
