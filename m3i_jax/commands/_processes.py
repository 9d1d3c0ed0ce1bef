"""One process of many: the flags that several commands have in common."""

import contextlib
from collections.abc import Iterator

from m3i_jax.build import ConfigError
from m3i_jax.command_flags import switch, text, whole
from m3i_jax.ranges import Count, CountOrOff

DISTRIBUTED = switch("distributed", "One process of many: a pod, a cluster.")
COORDINATOR = text("coordinator", None, "HOST:PORT of process 0, if not found.")
PROCESSES = whole("processes", None, "How many there are.", limits=Count)
PROCESS = whole("process", None, "Which one this is, from 0.", limits=CountOrOff)


def join() -> None:
    """Joins the others, where --distributed says that there are some; before JAX looks for devices.

    Raises:
      ConfigError: the other flags without it, or nobody answers.
    """
    from m3i_jax.parallel import processes

    if DISTRIBUTED.value:
        processes.join(
            coordinator=COORDINATOR.value, processes=PROCESSES.value, process=PROCESS.value
        )
    elif any(flag.value is not None for flag in (COORDINATOR, PROCESSES, PROCESS)):
        raise ConfigError("--coordinator, --processes and --process want --distributed")


@contextlib.contextmanager
def together() -> Iterator[None]:
    """For the work of a process that has joined others, see `processes.together`."""
    from m3i_jax.parallel import processes

    with processes.together() if DISTRIBUTED.value else contextlib.nullcontext():
        yield
