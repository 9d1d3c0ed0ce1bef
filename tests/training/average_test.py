"""The default momentum fits the length of a run."""

import jax
import jax.numpy as jnp
import pytest

from m3i_jax import framework as fw
from m3i_jax.training import average
from m3i_jax.training.assemble import assemble


@pytest.mark.parametrize("steps, momentum", [(1, 0), (12, 0), (40, 0.5), (1000, 0.98)])
def test_the_momentum_fits_the_length(steps, momentum):
    assert average.fitted(steps) == momentum
    assert average.fitted(4000) == average.fitted(10**6) == 0.995


@pytest.mark.parametrize("steps, least", [(5, 0.97), (12, 0.9999), (50, 0.9999), (5000, 0.9999)])
def test_at_the_end_nothing_is_left_of_the_start(steps, least):
    """The engine's own update on weights that jump at the first step and stay."""
    slot = fw.ema(momentum=average.fitted(steps)).slots[0]
    step = lambda i, phi: slot.update(jnp.ones(()), phi, (), (i + 1) / steps)  # noqa: E731
    phi = jax.lax.fori_loop(0, steps, step, jnp.zeros(()))
    assert float(phi) > least
    found = average.moved(_Averaged(slot), step=steps, total=steps)
    assert found == pytest.approx(float(phi), abs=3e-5)  # the sum is in float32


class _Averaged:
    def __init__(self, slot):
        self.slots = {"ema": slot}


@pytest.mark.parametrize("target", [{}, {"name": "ema"}])
def test_a_config_that_names_no_momentum_gets_one_that_fits(shrunk, target):
    method, changes = ("siamese_im", {"target": target}) if target else ("mae", {})
    found = {}
    for duration in ("12 steps", "1000 steps", "9 epochs"):
        config = shrunk(method, **changes, duration=duration, average={})
        run = assemble(config, images=160)
        found[run.total] = run.method.slots["ema"].settings[0]
    assert found == {12: 0.0, 1000: 0.98, 180: 1 - 20 / 180}
    named = shrunk(method, average={"momentum": 0.7}, target=target and dict(target, momentum=0.7))
    assert assemble(named, images=160).method.slots["ema"].settings[0] == 0.7
