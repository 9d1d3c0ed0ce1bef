"""The program of a step: compiled at its first call, aloud, unless somebody has it already."""

from collections.abc import Callable
from typing import Any, NamedTuple

from m3i_jax.training import waiting
from m3i_jax.training.step import Advance


class Program(NamedTuple):
    """A step's program: what was traced, and what the compiler made of it."""

    traced: Any
    compiled: Any


def compiling(
    advance: Advance,
    what: str,
    *,
    program: Program | None = None,
    then: Callable[[Program], None] = lambda program: None,
    spending: Callable[[Callable], Callable] = lambda act: act,
) -> Callable[[list, Any], Any]:
    """The step, whose first call compiles it and is waited for.

    what: is said meanwhile.  program: of a run of the same step, of whatever length: it is taken,
    and nothing compiles.  then: is called with the program before the first step.
    spending: books the time that it takes, see `goodput.Ledger.spending`.
    """
    ready: list[Advance] = []

    def call(leaves, batch):
        if not ready:
            made = program or spending(_compiled)(advance, leaves, batch, what)
            ready.append(advance.of(made.compiled))
            then(made)
        return ready[0](leaves, batch)

    return call


def _compiled(advance: Advance, leaves: list, batch: Any, what: str) -> Program:
    with waiting.live(what):
        traced = advance.trace(leaves, batch)
        return Program(traced, traced.lower().compile())
