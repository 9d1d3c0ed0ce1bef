"""Assignments: what each makes of logits, and the temperatures that they may have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import framework as fw
from m3i_jax import losses, methods
from m3i_jax.framework.assignments import temperature_at


def test_each_is_its_function_of_the_logits(key):
    a, c = jax.random.normal(key, (6, 4, 5)), jnp.arange(5.0)
    found = {
        "centring": (fw.centring(temperature=0.5), jax.nn.softmax((a - c[None, None]) / 0.5)),
        "balancing": (fw.balancing(temperature=0.5), losses.sinkhorn(jnp.exp(a / 0.5))),
        "off": (fw.centring(temperature=0.5, on=False), jax.nn.softmax(a / 0.5)),
    }
    for name, (how, want) in found.items():
        np.testing.assert_allclose(how.shares(a, c, 0.5), want, rtol=2e-5, atol=1e-7, err_msg=name)
    apart = fw.balancing(temperature=0.5, per_position=True).shares(a, None, 0.5)
    for i in range(4):
        want = losses.sinkhorn(jnp.exp(a[:, i] / 0.5))
        np.testing.assert_allclose(apart[:, i], want, rtol=2e-5, atol=1e-7)


def test_what_is_balanced_over_the_batch_cannot_be_cut():
    assert fw.balancing().batchwise and fw.sharpening().batchwise
    assert not fw.sharpening(iterations=0).batchwise
    method = methods.dino(local=0)
    shared = fw.assigned(fw.ema(heads=("projector", "prototypes")), fw.balancing())
    codes = {n: c._replace(encoder=shared) if n[0] == "y" else c for n, c in method.codes.items()}
    assert set(fw.Method(codes, method.terms).batchwise().values()) == {
        "its target is assigned by the whole batch"
    }


def test_the_centred_temperature_warms_up(toy, views, key):
    """DINO: .04 → .07 over 30 of 800 epochs, then .07."""
    heads = ("projector", "prototypes")

    def method(temperature):
        target = fw.assigned(fw.ema(heads=heads), fw.centring(temperature=temperature))
        return fw.Method({"y": fw.Code("a", target)}, {})

    params, states = fw.init(method(1.0), toy, key)

    def shares(temperature, progress):
        of_centre = method(temperature)
        prepared = fw.prepare(of_centre, toy, views, key=key)
        how = dict(train=True, key=key, progress=progress)
        return fw.encode(of_centre, toy, params, states, prepared, **how)[0]["y"].pooled

    ramp, end = (0.04, 0.07, 30 / 800), 30 / 800
    for progress, tau in ((0.0, 0.04), (end / 3, 0.05), (end, 0.07), (0.5, 0.07)):
        np.testing.assert_allclose(shares(ramp, progress), shares(tau, 0.0), rtol=2e-5, atol=1e-6)


def test_a_ramp_of_steps_is_constant_in_each_epoch():
    """DINO's linspace(.04, .07, 30)[epoch], then .07, at the first and last step of every epoch."""
    per_epoch, total = 1251, 800 * 1251
    table = np.r_[np.linspace(0.04, 0.07, 30), np.full(770, 0.07)]
    epochs = np.r_[np.arange(40), 41:800:97, 799]
    steps = np.r_[epochs * per_epoch, epochs * per_epoch + per_epoch - 1]
    progress = jnp.asarray(steps + 1, jnp.float32) / total  # as `training.step` counts it
    found = temperature_at((0.04, 0.07, 30 / 800, 30))(progress)
    np.testing.assert_allclose(found, table[steps // per_epoch], rtol=1e-6)


@pytest.mark.parametrize(
    "ramp", [0.0, (0.04, -1.0, 0.5), (0.04, 0.07, 0.0), (0.04, 0.07, 0.5, 1), (0.04, 0.07)]
)
def test_ramps_that_are_none_are_refused(ramp):
    with pytest.raises(ValueError, match="temperature"):
        fw.centring(temperature=ramp)
