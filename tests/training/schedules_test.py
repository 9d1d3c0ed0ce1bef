import math

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.training import schedules


def reference(t, peak, total, warmup, end):
    """The published rule, with steps for epochs, in double precision."""
    if t < warmup:
        return peak * t / warmup
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * (t - warmup) / (total - warmup)))


@pytest.mark.parametrize(
    "peak, total, warmup, end",
    [
        (1e-3, 500456, 12511, 0.0),  # M3I, SiameseIM: 1600 epochs, 40 of warm-up
        (2.4e-3, 250228, 12511, 0.0),  # MAE at batch 4096
        (2e-3, 125112, 6256, 1e-6),  # fine-tuning
        (3.2, 7038, 782, 0.0),  # linear probe
        (1e-3, 10, 0, 1e-4),
    ],
)
def test_warmup_cosine_table(peak, total, warmup, end):
    schedule = schedules.warmup_cosine(peak, total=total, warmup=warmup, end=end)
    points = np.unique(
        np.r_[0, 1, warmup // 2, warmup, np.linspace(warmup, total, 8).astype(int), total - 1]
    )
    for t in points:
        # float32 of the argument and the cosine: a few ulp of the peak.
        np.testing.assert_allclose(
            schedule(jnp.int32(t)),
            reference(t, peak, total, warmup, end),
            rtol=1e-5,
            atol=peak * 1e-6,
        )
    if warmup:
        assert float(schedule(0)) == 0.0
    np.testing.assert_allclose(float(schedule(warmup)), peak, rtol=2e-7)
    np.testing.assert_allclose(float(schedule(total)), end, atol=1e-12)
    assert float(schedule(total + 1000)) == float(schedule(total))
    curve = np.asarray(schedule(jnp.arange(warmup, total + 1)))
    # Monotone up to one rounding of the cosine near the peak.
    assert np.all(np.diff(curve) <= peak * 2e-7)


def test_constant_and_milestones():
    constant = schedules.warmup_constant(0.2, total=100, warmup=4)
    np.testing.assert_allclose(
        constant(jnp.arange(7)), [0, 0.05, 0.1, 0.15, 0.2, 0.2, 0.2], rtol=1e-6
    )
    assert float(schedules.warmup_constant(0.2, total=100)(0)) == np.float32(0.2)
    steps = schedules.warmup_milestones(1.0, total=1000, warmup=10, milestones=(0.5, 0.9))
    table = {0: 0, 5: 0.5, 10: 1, 499: 1, 500: 0.1, 899: 0.1, 900: 0.01, 999: 0.01}
    for t, value in table.items():
        np.testing.assert_allclose(steps(t), value, rtol=1e-5)
    np.testing.assert_allclose(steps(jnp.asarray(list(table))), list(table.values()), rtol=1e-5)


def test_warmup_may_start_above_zero():
    """CLIP's 1e-6 (SLIP), linearly to the peak; what follows is as without it."""
    for make in (schedules.warmup_cosine, schedules.warmup_constant, schedules.warmup_milestones):
        low, usual = (make(5e-4, total=100, warmup=10, start=s) for s in (1e-6, 0.0))
        for t in range(10):
            np.testing.assert_allclose(low(t), 1e-6 + (5e-4 - 1e-6) * t / 10, rtol=1e-6)
        after = jnp.arange(10, 100)
        np.testing.assert_allclose(low(after), usual(after), rtol=2e-7)


def test_a_closed_warmup_has_its_peak_at_its_last_step():
    """DINO's and BEiT's line: NumPy's linspace over the warm-up, then the cosine from its peak."""
    closed = schedules.warmup_cosine(5e-4, total=50, warmup=10, end=1e-5, start=1e-6, closed=True)
    line = np.linspace(1e-6, 5e-4, 10)
    cosine = 1e-5 + 0.5 * (5e-4 - 1e-5) * (1 + np.cos(np.pi * np.arange(40) / 40))
    np.testing.assert_allclose(closed(jnp.arange(50)), np.r_[line, cosine], rtol=1e-6)
    one = schedules.warmup_cosine(5e-4, total=50, warmup=1, closed=True)
    np.testing.assert_allclose(one(jnp.arange(2)), [0.0, 5e-4], rtol=1e-6)


def test_stairs_are_where_the_epochs_are():
    """MoCo v2 sets its rate once an epoch: .03 · ½(1 + cos(π · epoch / 200))."""
    per_epoch, epochs = 5004, 200
    rate = schedules.warmup_cosine(0.03, total=per_epoch * epochs, stairs=epochs)
    for epoch in (0, 1, 2, 77, 150, 199):
        expected = 0.03 * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
        for step in (0, 1, per_epoch - 1):
            found = rate(epoch * per_epoch + step)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_a_stretched_cosine_is_cut_off_by_the_run():
    long = schedules.warmup_cosine(1e-3, total=1000, warmup=100, end=1e-6, stretch=1.25)
    t = np.arange(100, 1000)
    expected = 1e-6 + (1e-3 - 1e-6) * 0.5 * (1 + np.cos(np.pi * (t - 100) / 1150))
    np.testing.assert_allclose(long(jnp.asarray(t)), expected, rtol=2e-6)
    np.testing.assert_allclose(long(jnp.arange(100)), 1e-5 * np.arange(100), rtol=1e-6)


def test_impossible_lengths():
    with pytest.raises(ConfigError, match="warm-up of 11 steps is longer than the run of 10"):
        schedules.warmup_cosine(1.0, total=10, warmup=11)
    with pytest.raises(ConfigError, match="1 or more"):
        schedules.warmup_constant(1.0, total=0)


def test_peak_rate():
    assert schedules.peak_rate(batch=4096, base_lr=1.5e-4) == pytest.approx(2.4e-3)
    assert schedules.peak_rate(batch=4096, base_lr=6.25e-5) == pytest.approx(1e-3)
    assert schedules.peak_rate(batch=4096, lr=1e-3) == 1e-3
    for kwargs, word in (({}, "neither"), ({"lr": 1.0, "base_lr": 1.0}, "both")):
        with pytest.raises(ConfigError, match=f"got {word}"):
            schedules.peak_rate(batch=1, **kwargs)


def test_a_whole_cosine_has_begun_before_its_warmup_ends():
    """timm's `CosineLRScheduler` with `warmup_prefix=False`, in its own terms and float64."""
    peak, total, warmup, least, first = 5e-3, 50, 10, 1e-6, 1e-6
    found = schedules.warmup_cosine(
        peak, total=total, warmup=warmup, end=least, start=first, whole=True
    )
    rising = [first + t * (peak - first) / warmup for t in range(warmup)]
    falling = [
        least + 0.5 * (peak - least) * (1 + math.cos(math.pi * t / total))
        for t in range(warmup, total)
    ]
    np.testing.assert_allclose(found(jnp.arange(total)), rising + falling, rtol=2e-6, atol=1e-9)
    assert float(found(warmup)) < 0.91 * peak


def test_a_polynomial_falls_by_a_power_of_what_is_left():
    """mmengine's LinearLR and PolyLR, and mmcv's "poly", whose warm-up is a factor, in float64."""
    t, fcn = np.arange(160), schedules.warmup_polynomial(0.01, total=160, end=1e-4, power=0.9)
    expected = (0.01 - 1e-4) * (1 - t / 160) ** 0.9 + 1e-4
    np.testing.assert_allclose(fcn(jnp.asarray(t)), expected, rtol=1e-5)
    line = np.linspace(1e-10, 1e-4, 15)
    apart = schedules.warmup_polynomial(1e-4, total=160, warmup=15, start=1e-10, closed=True)
    expected = np.r_[line, 1e-4 * (1 - np.arange(145) / 145)]
    np.testing.assert_allclose(apart(jnp.asarray(t)), expected, rtol=2e-5, atol=1e-10)
    assert float(apart(160)) == float(apart(1000)) == 0.0
    factor = 1 - (1 - np.minimum(t, 15) / 15) * (1 - 1e-6)
    scaled = dict(total=160, warmup=15, start=1e-10, scaled=True)
    for make, fall in (
        (schedules.warmup_polynomial, 1 - t / 160),
        (schedules.warmup_cosine, 0.5 * (1 + np.cos(np.pi * t / 160))),
    ):
        found = make(1e-4, **scaled)(jnp.asarray(t))
        np.testing.assert_allclose(found, 1e-4 * fall * factor, rtol=2e-5, atol=1e-10)


def test_a_rate_that_rises_and_falls():
    """MIM-Depth's own terms: global steps from 1, half of 25 epochs rounded down, float64."""
    high, low, iterations, half = 5e-4, 3e-5, 40, 12
    found = schedules.rise_and_fall(high, total=25 * iterations, end=low, summit=half / 25)
    for step in range(25 * iterations):
        passed = (step + 1) / iterations / half
        if step + 1 < iterations * half:
            rate = (high - low) * passed**0.9 + low
        else:
            rate = max(low, (low - high) * (passed - 1) ** 0.9 + high)
        np.testing.assert_allclose(found(step), rate, rtol=2e-5)
    with pytest.raises(ConfigError, match="expected no warm-up, got 3"):
        schedules.rise_and_fall(high, total=10, warmup=3)
