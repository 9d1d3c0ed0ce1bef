"""Everything that lives between steps, as one record."""

from typing import Any

import flax.struct
import jax.numpy as jnp

from m3i_jax import framework as fw


@flax.struct.dataclass
class TrainState:
    """All state between steps; with the data position and the config it is the whole run.

    step: int32, steps taken.  params: the online network.  optimizer: its state.
    codes: states of the encoders by slot; `ema` is the moving average.
    balance: state of the dynamic weighting.  skipped: int32, steps not applied (not finite).
    """

    step: Any
    params: Any
    optimizer: Any
    codes: Any
    balance: Any
    skipped: Any

    def items(self) -> dict[str, Any]:
        """The state as a checkpoint holds it: online and EMA weights are items of their own."""
        rest = self.replace(params=None, codes={k: v for k, v in self.codes.items() if k != "ema"})
        state = {f: getattr(rest, f) for f in ("step", "optimizer", "codes", "balance", "skipped")}
        return {"online": self.params, "ema": self.codes["ema"], "state": state}

    @classmethod
    def of(cls, items: dict[str, Any]) -> "TrainState":
        """Inverse of `items`."""
        state = dict(items["state"])
        codes = {"ema": items["ema"], **state.pop("codes")}
        return cls(params=items["online"], codes=codes, **state)


def create(key: Any, *, network: Any, method: fw.Method, weighting: fw.Weighting, optimizer: Any):
    """The state before the first step; trace it with `jax.eval_shape` to know it without memory."""
    params, codes = fw.init(method, network, key)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        optimizer=optimizer.init(params),
        codes=codes,
        balance=weighting.init(),
        skipped=jnp.zeros((), jnp.int32),
    )
