"""One process of many: the flags that several commands have in common."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

from m3i_jax.build import ConfigError
from m3i_jax.command_flags import minutes, switch, text, texts, whole
from m3i_jax.ranges import Count, CountOrOff, Range

WAIT = Range(0, 24 * 60, above=True, why="pods come up within an hour")
DISTRIBUTED = switch("distributed", "One process of many: a pod, a cluster.")
COORDINATOR = text("coordinator", None, "HOST:PORT of process 0, if not found.")
PROCESSES = whole("processes", None, "How many there are.", limits=Count)
PROCESS = whole("process", None, "Which one this is, from 0.", limits=CountOrOff)
DEVICES = texts("local_devices", [], "Numbers of its devices, where not all that it sees.")
PATIENCE = minutes("join_minutes", 30.0, "To wait for the others.", limits=Annotated[float, WAIT])


def join() -> None:
    """Joins the others, where --distributed says that there are some; before JAX looks for devices.

    Raises:
      ConfigError: the other flags without it, or nobody answers.
    """
    from m3i_jax.parallel import processes

    if DISTRIBUTED.value:
        processes.join(
            coordinator=COORDINATOR.value,
            processes=PROCESSES.value,
            process=PROCESS.value,
            devices=_numbers(DEVICES.value),
            patience=PATIENCE.value * 60,
        )
    elif DEVICES.value or any(flag.value is not None for flag in (COORDINATOR, PROCESSES, PROCESS)):
        raise ConfigError(
            "--coordinator, --processes, --process and --local_devices want --distributed"
        )


def _numbers(words: list[str]) -> list[int] | None:
    """What --local_devices says; None where it says nothing."""
    wrong = [word for word in words if not word.isdecimal()]
    if wrong:
        raise ConfigError(f"--local_devices has '{wrong[0]}'; expected numbers such as 0,1")
    return [int(word) for word in words] or None


@contextlib.contextmanager
def together() -> Iterator[None]:
    """For the work of a process that has joined others, see `processes.together`."""
    from m3i_jax.parallel import processes

    with processes.together() if DISTRIBUTED.value else contextlib.nullcontext():
        yield
