"""What a run does beside training: logs and saves. Each hook is a function of a `StepInfo`."""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from logging import getLogger
from typing import Any

import jax
import numpy as np

from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.faults import CheckpointError
from m3i_jax.checkpoints.local import LocalCheckpoints
from m3i_jax.training import data_wait, health
from m3i_jax.training.goodput import Ledger
from m3i_jax.training.lengths import due
from m3i_jax.training.log import Log
from m3i_jax.training.loop import Hook, StepInfo
from m3i_jax.training.state import TrainState

LOG = getLogger(__name__)
LAG = 2  # steps after which a logged step's numbers are read: long enough not to hold up the device
RETRIES = 4  # saves in a row that may fail before the next failure stops the run


def logging(
    log: Log,
    *,
    batch: int,
    every: int = 50,
    flush: Callable[[int], bool] = lambda step: False,
    ceiling: float | None = None,
    history: Iterable[Mapping[str, float]] = (),
    ledger: Ledger | None = None,
) -> Hook:
    """Every `every` steps: that step's metrics, images per second and share of waiting.

    ceiling: images per second that the devices' peak would allow, see `flops.ceiling`; what is
      reached of it is logged as perf/mfu, nothing if it is not known.
    history: rows that were logged before.
    ledger: knows where the time has gone; a new one where none is given.
    flush: (step) -> whether everything so far must be on disk, because a checkpoint follows.
    """
    waiting: list[tuple[int, Any, float, dict[str, float]]] = []
    mark: list[tuple[int, float, float]] = []
    seen = [-1]  # the newest step: one that is parted from is met twice
    healthy, patient = health.watch(history=history), data_wait.watch()
    ledger = ledger or Ledger(history)

    def write(step, metrics, waited, spent):
        values = {name: np.asarray(value) for name, value in jax.device_get(metrics).items()}
        now = time.perf_counter()  # the step has ended: the hook was called as it was begun
        values |= healthy(step, values) | spent
        if mark and step > mark[0][0]:
            before, then, idle = mark[0]
            seconds = max(now - then, 1e-9)
            rate = (step - before) * batch / seconds
            patient(seconds, waited - idle)
            values |= {"perf/images_per_second": rate, "perf/data_wait": (waited - idle) / seconds}
            if ceiling is not None:
                values["perf/mfu"] = rate / ceiling
            pace = dict(images_per_second=rate, per_step=batch / rate)
            log.progress(step, loss=float(values["train/loss"]), **pace)
        mark[:] = [(step, now, waited)]
        log.scalars(step, values)

    def hook(info: StepInfo) -> None:
        log.at(info.step, lambda: ledger.doing)
        if not mark:  # the first step includes compilation
            jax.block_until_ready(info.metrics)
            mark.append((info.step, time.perf_counter(), info.waited))
            ledger.started(info.waited)
        if info.step > seen[0] and (due(info.step, every) or info.done):
            waiting.append((info.step, info.metrics, info.waited, ledger.row(info.waited)))
        seen[0] = info.step
        all_of_it = info.last or flush(info.step)
        while waiting and (all_of_it or waiting[0][0] <= info.step - LAG):
            write(*waiting.pop(0))

    return hook


def saving(
    checkpoints: Checkpoints,
    *,
    state: Callable[[Any], TrainState],
    meta: Callable[[StepInfo], dict[str, Any]],
    every: int = 1000,
    wanted: Callable[[int], bool] = lambda step: False,
    sound: Callable[[StepInfo], None] = lambda info: None,
    pause: float = 1.0,
) -> Hook:
    """A checkpoint every `every` steps, where one is `wanted`, and at the end; meta goes with it.

    One that fails is made up for by a later state, after an eighth, a quarter and half of the
    interval; the last one is tried again after `pause`, 2·pause, 4·pause, … seconds. The steps on
    disk stay. More than `RETRIES` failures in a row, or a disk that hangs, stop the run.
    sound: refuses a state that must not be saved.
    """

    def done(act: Callable[[], Any]) -> bool:
        try:
            act()
        except CheckpointError as error:
            counted = 0 < checkpoints.failures <= RETRIES
            if not counted or isinstance(error.__cause__, TimeoutError):
                raise
            LOG.warning("%s; trying again", error)
            return False
        return True

    def hook(info: StepInfo) -> None:
        late = every > 0 and info.step % every in (every // 8, every // 4, every // 2)
        now = due(info.step, every) or wanted(info.step) or info.last
        if now or (late and checkpoints.failed()):
            sound(info)
            done(checkpoints.settle)  # the one before
            items = state(info.leaves).items()
            save = partial(checkpoints.save, info.step, items, meta(info), wait=info.last)
            while not done(save) and info.last:
                time.sleep(pause * 2 ** (checkpoints.failures - 1))

    return hook


def saving_locally(
    checkpoints: LocalCheckpoints,
    *,
    state: Callable[[Any], TrainState],
    meta: Callable[[StepInfo], dict[str, Any]],
    when: Callable[[int], bool],
    sound: Callable[[StepInfo], None] = lambda info: None,
) -> Hook:
    """An emergency save after steps for which `when` holds; the last step is saved for all.

    sound: refuses a state that must not be saved.
    """

    def hook(info: StepInfo) -> None:
        if when(info.step) and not info.last:
            sound(info)
            checkpoints.save(info.step, state(info.leaves).items(), meta(info))

    return hook
