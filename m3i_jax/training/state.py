"""Everything that lives between steps, as one record."""

from typing import Any

import flax.struct
import jax.numpy as jnp
import optax
from jaxtyping import Float32, Int32, Key, PyTree

from m3i_jax import framework as fw
from m3i_jax.checkpoints.serialize import SLOTS
from m3i_jax.training import spikes
from m3i_jax.training.spikes import Spikes
from m3i_jax.types import Array

RECENT = "recent"


@flax.struct.dataclass
class TrainState:
    """All state between steps; with the data position and the config it is the whole run.

    step: steps taken.  params: the online network.  optimizer: its state.
    slots: states of the encoders by slot; `ema` is the moving average.
    balance: state of the dynamic weighting.  skipped: steps not applied, see `spikes`.
    recent: |loss| and gradient norm of the last steps that were, where spikes are skipped.
    """

    step: Int32[Array, ""]
    params: PyTree[Array]
    optimizer: optax.OptState
    slots: dict[str, PyTree[Array]]
    balance: PyTree[Array]
    skipped: Int32[Array, ""]
    recent: Float32[Array, "2 _window"] | None = None

    def items(self) -> dict[str, Any]:
        """The state as a checkpoint holds it: online and EMA weights are items of their own."""
        state = {f: getattr(self, f) for f in ("step", "optimizer", "balance", "skipped")}
        state[SLOTS] = {k: v for k, v in self.slots.items() if k != "ema"}
        recent = {} if self.recent is None else {RECENT: self.recent}
        return {"online": self.params, "ema": self.slots["ema"], "state": state, **recent}

    @classmethod
    def of(cls, items: dict[str, Any]) -> "TrainState":
        """Inverse of `items`."""
        state = dict(items["state"])
        slots = {"ema": items["ema"], **state.pop(SLOTS)}
        return cls(params=items["online"], slots=slots, recent=items.get(RECENT), **state)


def create(
    key: Key[Array, ""],
    *,
    network: Any,
    method: fw.Method,
    weighting: fw.Weighting,
    optimizer: optax.GradientTransformation,
    policy: Spikes = Spikes(),
) -> TrainState:
    """The state before the first step; trace it with `jax.eval_shape` to know it without memory."""
    params, slots = fw.init(method, network, key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer=optimizer.init(params),
        slots=slots,
        balance=weighting.init(),
        skipped=jnp.zeros((), jnp.int32),
        recent=spikes.empty(policy),
    )
