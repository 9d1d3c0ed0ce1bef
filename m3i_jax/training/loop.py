"""The only loop: pre-training, probes by gradient and tokenisers pass different steps to it."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax

from m3i_jax.types import Array

AHEAD = 8  # steps that the host may queue before it waits for the oldest one


class Moment(NamedTuple):
    """What a hook sees after a step; reading an array waits for the device, so few hooks should.

    step: steps taken, `total` of them in all.  leaves: the state, flat; donated to the next step.
    batch: the one just used.  position: of the data after it.  metrics: device scalars.
    waited: seconds the host has waited for data so far.
    last: whether the loop ends here, at `total` or because it was asked to.
    """

    step: int
    total: int
    leaves: Sequence[Array]
    batch: Any
    position: Any
    metrics: dict[str, Array]
    waited: float
    last: bool


Hook = Callable[[Moment], None]


def fit(
    advance: Callable[[Any, Any], tuple[Any, dict[str, Array]]],
    leaves: Any,
    stream: Iterable[tuple[Any, Any]],
    *,
    start: int,
    total: int,
    hooks: Sequence[Hook] = (),
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Any, int]:
    """Steps from `start` to `total`, or until `stop()`; returns the state and the steps taken.

    advance: (leaves, batch) -> (leaves, metrics), compiled.  stream: (batch, data position).
    The hooks run in order after every step. Nothing here waits for the device except to keep the
    host from running more than a few steps ahead of it.
    """
    queued: deque = deque()
    step, waited, stopped = start, 0.0, start < total and stop()
    source = iter(stream)
    while step < total and not stopped:
        before = time.perf_counter()
        batch, position = next(source)
        waited += time.perf_counter() - before
        leaves, metrics = advance(leaves, batch)
        step += 1
        queued.append(metrics)
        if len(queued) > AHEAD:
            jax.block_until_ready(queued.popleft())
        stopped = stop()
        last = stopped or step == total
        moment = Moment(step, total, leaves, batch, position, metrics, waited, last)
        for hook in hooks:
            hook(moment)
    return leaves, step
