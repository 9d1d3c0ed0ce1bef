"""The step's own parts: views on the device, the flat signature, the cost of a call."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import normalize
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.views.crops import Crops
from m3i_jax.parallel import sharding
from m3i_jax.training.assemble import assemble
from m3i_jax.training.step import views


def test_views_are_normalised_and_know_what_is_absent(batch, key):
    made = views(key, batch, {})
    expected = normalize.channels(batch.images["a"].astype(np.float32) / 255)
    np.testing.assert_allclose(made["a"].data, expected, rtol=1e-6)
    np.testing.assert_array_equal(made["b"].box.flip, batch.boxes["b"][:, 4])
    assert not made["label"].present[3] and made["label"].present.sum() == 7
    assert not made["text"].present[5] and made["text"].present.sum() == 7


def test_each_view_is_augmented_with_a_key_of_its_own(batch, key):
    noise = lambda key, x: x + jax.random.normal(key, x.shape)  # noqa: E731
    both = views(key, batch._replace(images={n: batch.images["a"] for n in "ab"}),
                 {"a": noise, "b": noise})  # fmt: skip
    alone = views(key, batch, {"a": noise})
    assert (both["a"].data != both["b"].data).any()
    np.testing.assert_array_equal(both["a"].data, alone["a"].data)


def test_a_view_is_normalised_once_and_erased_behind_that(batch, key, shrunk):
    """What a config's block makes of a view is what the encoder sees, noise of deviation 1."""
    quiet = dict(jitter=0.0, grayscale=0.0, blur=0.0)
    plain, erased = (
        views(key, batch, assemble(shrunk("mae", augment={"a": block}), images=100).augment)
        for block in (quiet, quiet | {"erasing": 1.0})
    )
    expected = normalize.channels(batch.images["a"].astype(np.float32) / 255)
    np.testing.assert_allclose(plain["a"].data, expected, atol=1e-5)
    changed = np.asarray(abs(erased["a"].data - plain["a"].data) > 1e-4)
    assert changed.any((1, 2, 3)).all()
    noise = np.asarray(erased["a"].data)[changed]
    assert abs(noise.mean()) < 5 / noise.size**0.5 and abs(noise.var() - 1) < 7 / noise.size**0.5


def test_a_step_on_cuts_that_it_resizes_is_that_on_views_to_a_grey_level(shrunk, key):
    """MAE of 16 pixels, its parts of 17 to 32 pixels a side sent as they are."""
    rng, config = np.random.default_rng(0), shrunk("mae", **{"crops.resize": "device"})
    y, x = np.mgrid[:32, :32]
    waves = [128 + 90 * np.sin(x / a + y / b) for a, b in rng.uniform(2, 6, (3, 2))]
    sample = Sample(np.stack(waves, -1).astype(np.uint8))
    run = assemble(config, images=100)

    def cut(how):
        crop = Crops(size=16, views=("a",), scale=(0.5, 1.0), resize=how)
        rows = [crop(sample, np.random.default_rng(n)) for n in range(config.batch)]
        return jax.tree.map(lambda *x: np.stack(x), *rows)

    given = cut("device")
    assert jax.tree.map(np.shape, given) == jax.tree.map(lambda x: x.shape, run.batch_shape())
    want, got = (views(key, batch, {})["a"].data for batch in (cut("exact"), given))
    assert np.abs(want - got).max() <= 1.01 / 255 / 0.224  # the least of the deviations
    with jax.set_mesh(run.mesh):
        state, _ = jax.eval_shape(run.step(), run.abstract, given)
    assert jax.tree.structure(state) == jax.tree.structure(run.abstract)


def test_the_same_state_and_batch_give_the_same_step(shrunk, batch, fits):
    run = assemble(shrunk("mae"), images=100)
    given = sharding.put(fits(run, batch), run.mesh)
    with jax.set_mesh(run.mesh):
        advance = run.compiled()
        results = [advance(jax.tree.leaves(run.create()), given) for _ in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *results)
    leaves, metrics = results[0]
    assert len(leaves) == len(jax.tree.leaves(run.abstract))
    assert {"train/loss", "train/pixels", "optim/lr", "ema/momentum"} <= set(metrics)


def test_runs_of_all_lengths_have_one_program(shrunk):
    """With a momentum that fits the length, a late start, a warm-up in percent, a last step."""
    late = {"optimizer.late": [["^decoders", 0.2]], "average": {}, "warmup": "10 percent"}

    def program(duration):
        run = assemble(shrunk("mae", duration=duration, **late, **{"log.every": 5}), images=100)
        with jax.set_mesh(run.mesh):
            traced = run.compiled().trace(jax.tree.leaves(run.abstract), run.batch_shape())
        return traced.lower().as_text()

    assert program("40 steps") == program("7 epochs")


def test_only_steps_that_are_logged_look_at_the_information(shrunk, batch, fits):
    """Every second step and the last one, to the bit what a step says whose every one is logged."""

    def steps(every):
        changes = {"log.every": every, "duration": "3 steps", "warmup": "0 steps"}
        run = assemble(shrunk("mae", **changes), images=100)
        given = sharding.put(fits(run, batch), run.mesh)
        with jax.set_mesh(run.mesh):
            advance, leaves, said = run.compiled(), jax.tree.leaves(run.create()), []
            for _ in range(run.total):
                leaves, metrics = advance(leaves, given)
                said.append(jax.device_get(metrics))
        return said

    always, seldom = steps(1), steps(2)
    looked = {name for name in always[0] if name.startswith(("information/", "health/"))}
    assert "health/pixels/rank" in looked and "information/pixels" in looked
    for step, (whole, part) in enumerate(zip(always, seldom, strict=True), 1):
        for name, value in part.items():
            unread = step == 1 and name in looked
            expected = np.float32("nan") if unread else whole[name]
            np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=f"{name}, step {step}")


def test_flat_leaves_keep_the_call_cheap(shrunk):
    """The host's part of a call, measured on a step of the same leaves that computes nothing."""
    run = assemble(shrunk("m3i"), images=100)
    count = len(jax.tree.leaves(run.abstract))
    identity = jax.jit(lambda leaves: [x + 1 for x in leaves], donate_argnums=0)
    leaves = identity([jnp.zeros(()) for _ in range(count)])
    seconds = []
    for _ in range(50):
        jax.block_until_ready(leaves)
        start = time.thread_time()
        leaves = identity(leaves)
        seconds.append(time.thread_time() - start)
    # docs/benchmarks.md has the figures; here only that it is not an order of magnitude off.
    assert min(seconds) < 5e-3
