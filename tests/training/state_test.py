"""The state splits into the items of a checkpoint and comes back whole."""

import jax
import numpy as np

from m3i_jax.training.state import TrainState


def test_items_hold_online_and_ema_apart_and_come_back():
    state = TrainState(
        step=np.int32(3),
        params={"w": np.ones(2)},
        optimizer=(np.zeros(2),),
        slots={"ema": {"w": np.full(2, 5.0)}, "queue": np.arange(3)},
        balance={},
        skipped=np.int32(0),
    )
    items = state.items()
    assert set(items) == {"online", "ema", "state"}
    assert set(items["state"]["codes"]) == {"queue"}
    back = TrainState.of(items)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    assert all(jax.tree.leaves(jax.tree.map(np.array_equal, back, state)))
