"""Operations that only some samples want: their values, and that the others are not computed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.augment import gating
from m3i_jax.parallel.constrain import by_rows
from m3i_jax.parallel.sharding import mesh


@pytest.mark.parametrize("batch", [1, 15, 16, 33])
def test_the_chosen_rows_are_changed_by_their_own_arguments(batch):
    rng = np.random.default_rng(batch)
    x, more = rng.normal(size=(batch, 2, 3)).astype("f"), rng.normal(size=batch).astype("f")
    run = jax.jit(lambda chosen: gating.only(chosen, lambda x, m: x * m[:, None, None], x, more))
    for share in (0.0, 0.1, 0.5, 1.0):
        chosen = rng.random(batch) < share
        want = np.where(chosen[:, None, None], x * more[:, None, None], x)
        np.testing.assert_array_equal(run(chosen), want)


@pytest.mark.parametrize("wanted, rounds", [(0, 0), (1, 1), (2, 1), (3, 2), (32, 16)])
def test_what_nobody_wants_is_not_computed(wanted, rounds):
    """A batch of 32 is paid for two by two."""
    seen = []

    def noted(x):
        jax.debug.callback(lambda rows: seen.append(len(rows)), x)
        return x + 1

    chosen = np.zeros(32, bool)
    chosen[np.random.default_rng(0).permutation(32)[:wanted]] = True
    got = jax.block_until_ready(gating.only(jnp.array(chosen), noted, jnp.zeros(32)))
    jax.effects_barrier()
    np.testing.assert_array_equal(got, chosen)
    assert seen == [2] * rounds


def test_eight_devices_change_the_same_rows_to_the_bit():
    chosen = np.random.default_rng(0).random(32) < 0.3
    x = np.random.default_rng(1).normal(size=(32, 4)).astype("f")
    run = lambda x, chosen: gating.only(chosen, jnp.cos, x, by_rows=by_rows)  # noqa: E731
    want = jax.jit(run)(x, chosen)
    with jax.set_mesh(mesh()):
        text = jax.jit(run).lower(x, chosen).compile().as_text()
        np.testing.assert_array_equal(jax.jit(run)(x, chosen), want)
    assert "all-gather" not in text.replace("all-gather-", "")
