"""What is proposed fits, and is the first of what was tried that does."""

import functools

import pytest

from m3i_jax.training.planning import estimate
from m3i_jax.training.planning.estimate import Layout
from m3i_jax.training.planning.peaks import Chip
from m3i_jax.training.planning.remedies import _allowed, fitting


@pytest.fixture(scope="module")
def fit(small):
    """fit(bytes) -> Fitting of the small run on eight chips of so much memory."""
    config, run = small
    full = functools.cache(lambda: estimate.traced(config, remat="full"))
    trace = lambda remat: full() if remat == "full" else run  # noqa: E731

    def found(size):
        chip = Chip(size / estimate.USABLE, 1.0, 1.0, {"bfloat16": 1.0})
        return fitting(config, 8, chip, trace=trace)

    return found


def peak(small, *layout, **more):
    return estimate.needs(small[1], Layout(*layout, **more)).peak


def test_the_cheapest_change_that_fits_is_taken(small, fit):
    """None; a little: moments in parts; weights, too; then micro-batches, then what recomputes."""
    assert fit(peak(small, 8)).flags == []
    assert fit(peak(small, 8) - 1).flags == ["--config.mesh.zero1=True"]
    least = peak(small, 1, 8, zero1=True)
    split = fit(least)
    assert split.flags == [f"--config.mesh.{x}" for x in ("data=1", "fsdp=8", "zero1=True")]
    cut = fit(least - 1)
    assert cut.needs.peak < least and cut.layout.accumulate == 2 and cut.remat is None
    assert "--config.accumulate=2" in cut.flags
    smallest = min(peak(small, 1, 8, zero1=True, accumulate=n) for n in (2, 4, 8))
    last = fit(smallest - 1)
    assert last.remat == "full" and "--config.encoder.remat=full" in last.flags
    assert fit(1e3) is None


def test_micro_batches_are_for_methods_that_can_be_cut(small, shrunk):
    assert _allowed(small[0], 2) and not _allowed(shrunk("m3i"), 2)
