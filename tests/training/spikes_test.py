"""Which steps count: against the rule in NumPy, and in a compiled step on one and 8 devices."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.parallel import sharding
from m3i_jax.training import spikes
from m3i_jax.training.assemble import assemble
from m3i_jax.training.spikes import LOSS, NORM, Spikes

POLICY = Spikes(factor=3.0, window=5)


def judged(policy, told, *, before=0):
    """For each (loss, norm): whether it counts, and the medians it was held against.

    before: steps that were made without a policy.
    """

    @jax.jit
    def one(recent, counted, loss, norm):
        sound, medians = spikes.sound(policy, recent, loss, norm)
        then = spikes.noted(recent, counted, loss, norm)
        recent = jax.tree.map(lambda new, old: jnp.where(sound, new, old), then, recent)
        return recent, counted + sound, sound, medians

    recent, counted = spikes.empty(policy), jnp.int32(before)
    for loss, norm in told:
        recent, counted, sound, medians = one(recent, counted, *map(jnp.float32, (loss, norm)))
        yield bool(sound), [float(medians[name]) for name in spikes.MEDIANS.values() if medians]


def test_the_rule_is_that_of_numpy():
    rng = np.random.default_rng(0)
    told = rng.normal(0.2, 1, (60, 2)).astype(np.float32)  # losses on both sides of 0
    told[:, 1] = np.exp(told[:, 1])
    told[20:24, 0], told[30, 1], told[40, 0], told[41, 1] = 50, 80, np.nan, np.inf
    kept, seen = [], 0
    for (loss, norm), (sound, medians) in zip(told, judged(POLICY, told, before=7), strict=True):
        row = np.abs([loss, norm])
        expected = bool(np.isfinite(row).all())
        if len(kept) >= POLICY.window:
            median = np.median(kept[-POLICY.window :], axis=0)
            np.testing.assert_allclose(medians, median, rtol=1e-6)
            expected &= not (row > POLICY.factor * median).any()
        else:
            assert np.isnan(medians).all()
        assert sound == expected
        kept += [row] * sound
        seen += not sound
    assert 8 <= seen <= 30


def test_without_a_factor_only_what_is_not_finite_is_left_out():
    told = [(1, 1)] * 200 + [(1e30, 1), (np.inf, 1), (1, np.nan)]
    found = [*judged(Spikes(), told)]
    assert [sound for sound, _ in found] == [True] * 201 + [False] * 2
    assert found[0][1] == [] and spikes.empty(Spikes()) is None


def test_the_cause_is_said():
    medians = dict(zip(spikes.MEDIANS.values(), (2.0, 0.5), strict=True))
    say = lambda loss, norm: spikes.why(POLICY, {LOSS: loss, NORM: norm} | medians)  # noqa: E731
    assert say(np.nan, np.nan) == "its loss is nan"
    assert say(1.0, np.inf) == "its gradient norm is inf"
    assert say(7.0, 9.0) == "its loss is 7, more than 3 times 2, the median of 5 steps"
    assert say(1.0, 2.0).startswith("its gradient norm is 2, more than 3 times")


def test_a_spike_leaves_the_state_untouched_on_eight_devices_as_on_one(
    shrunk, batch, fits, one_device
):
    """MAE on pixels: grey images twice, then noise, whose loss is four times as large."""
    told, policy = {}, {"spikes.factor": 2.0, "spikes.window": 2}
    grey = batch._replace(images={name: 116 + x // 16 for name, x in batch.images.items()})
    for count, (mesh, devices) in {1: one_device, 8: ({"data": 8}, None)}.items():
        config = shrunk("mae", mesh=mesh, **policy, **{"target.normalization": "raw"})
        run = assemble(config, images=100, devices=devices)
        with jax.set_mesh(run.mesh):
            leaves, advance, told[count] = jax.tree.leaves(run.create()), run.compiled(), []
            for images in (grey, grey, batch):
                before = jax.device_get(leaves)
                leaves, metrics = advance(leaves, sharding.put(fits(run, images), run.mesh))
                told[count].append([float(metrics[LOSS]), float(metrics[NORM])])
        tree = jax.tree.structure(run.abstract)
        before, after = (jax.tree.unflatten(tree, jax.device_get(x)) for x in (before, leaves))
        assert (int(after.step), int(after.skipped)) == (3, 1)
        counters = dict(step=after.step, skipped=after.skipped)
        jax.tree.map(np.testing.assert_array_equal, before.replace(**counters), after)
        np.testing.assert_array_equal(after.recent, np.float32(told[count][:2]).T)
        median = np.mean(told[count][:2], axis=0)  # of two
        np.testing.assert_allclose(
            [metrics[name] for name in spikes.MEDIANS.values()], median, 1e-6
        )
        assert told[count][2][0] > 2 * median[0]
    np.testing.assert_allclose(told[8], told[1], rtol=1e-4)
