"""The only loop: pre-training, probes by gradient and tokenisers pass different steps to it."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from m3i_jax.types import Array

AHEAD = 8  # steps that the host may queue before it waits for the oldest one


class StepInfo(NamedTuple):
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

    @property
    def done(self) -> bool:
        """Whether the run is complete, and not only asked to leave."""
        return self.step == self.total

    @property
    def leaving(self) -> bool:
        """Whether the loop ends before the run is complete: what can wait has to."""
        return self.last and not self.done


Hook = Callable[[StepInfo], None]


def fit(
    advance: Callable[[Any, Any], tuple[Any, dict[str, Array]]],
    leaves: Any,
    stream: Iterable[tuple[Any, Any]],
    *,
    start: int,
    total: int,
    hooks: Sequence[Hook] = (),
    parting: Sequence[Hook] = (),
    stop: Callable[[], bool] = lambda: False,
    ended: Callable[[], bool] = lambda: False,
    closing: Sequence[Hook] = (),
) -> tuple[Any, int]:
    """Steps from `start` to `total`, or until `stop()`; returns the state and the steps taken.

    advance: (leaves, batch) -> (leaves, metrics), compiled.  stream: (batch, data position); where
      it ends, as it does when data stall and somebody asks to leave, the loop ends, too.
    hooks: run in order after every step.  parting: those of them that run once more for the last
      step, with `last` set, where the stream ends or fails, or another hook does.
    ended: whether a hook wants no step behind this one, as there is nothing to gain (early stop).
    closing: hooks that run once more then, with `last` set.
    Nothing here waits for the device except to keep the host from running more than a few steps
    ahead of it.
    """
    queued: deque = deque()
    step, waited, stopped, info = start, 0.0, start < total and (ended() or stop()), None
    source = iter(stream)
    while step < total and not stopped:
        before = time.perf_counter()
        with _parting(parting, info):
            following = next(source, None)
        if following is None:
            _part(parting, info)
            break
        batch, position = following
        waited += time.perf_counter() - before
        leaves, metrics = advance(leaves, batch)
        step += 1
        queued.append(metrics)
        if len(queued) > AHEAD:
            jax.block_until_ready(queued.popleft())
        stopped = stop()
        last = stopped or step == total
        info = StepInfo(step, total, leaves, batch, position, metrics, waited, last)
        for hook in hooks:
            with _parting(() if hook in parting else parting, info):
                hook(info)
        if ended() and not last:
            stopped = True
            _part(closing, info)
    return leaves, step


@contextlib.contextmanager
def _parting(hooks: Sequence[Hook], info: StepInfo | None) -> Iterator[None]:
    """What fails in the block takes nothing with it that can still be saved."""
    try:
        yield
    except Exception:
        _part(hooks, info)
        raise


def _part(hooks: Sequence[Hook], info: StepInfo | None) -> None:
    if info is not None:
        for hook in hooks:
            hook(info._replace(last=True))
