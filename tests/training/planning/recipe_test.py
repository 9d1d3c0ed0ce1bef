"""Hours, price and hosts by arithmetic."""

import pytest

from m3i_jax.training.planning import estimate
from m3i_jax.training.planning.recipe import JPEG, lines, recipe


def test_a_recipe_is_its_steps(small):
    """12 steps of 64 images, each of 300 s, on 4 chips: an hour, 4 chip-hours, 8 at 2 each."""
    config, run = small
    found = recipe(config, run, 300.0, 4)
    assert (found.hours, found.chip_hours) == (1.0, 4.0)
    assert found.images == pytest.approx(64 / 300) and found.disk == pytest.approx(64 / 300 * JPEG)
    assert found.cores == pytest.approx(64 / 300 * 4.38e-3)
    # Parameters, two moments and the average, and some counters.
    assert found.checkpoint / 4 == pytest.approx(
        sum(estimate.of_state(run.state, estimate.Layout(1)).values()) / 4, rel=1e-3
    )
    text = "\n".join(lines(config, run, found, 2.0))
    assert "12 steps of 64 images: at least 1 hours, 4 chip-hours, 8 at 2 a chip-hour" in text
    assert "chip-hour\n" not in "\n".join(lines(config, run, found, None))
