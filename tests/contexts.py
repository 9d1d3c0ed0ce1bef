"""Programs of the tests are lowered in one MLIR context after another, not each in its own.

To load all dialects takes 5 ms; the rest of a tiny program, from tracing to machine code, takes 15.
"""

from collections.abc import Callable
from typing import Any

from jax._src.interpreters import mlir

PROGRAMS = 200  # that share a context: its constants and types are not freed before it is


def share() -> None:
    """Has jax lower `PROGRAMS` programs in a context, where it makes contexts as it does today."""
    if hasattr(mlir, "make_ir_context"):
        mlir.make_ir_context = shared(mlir.make_ir_context)


def shared(make: Callable[[], Any]) -> Callable[[], Any]:
    """`make()` whose result is handed out `PROGRAMS` times."""
    context, uses = None, PROGRAMS

    def get() -> Any:
        nonlocal context, uses
        if uses == PROGRAMS:
            context, uses = make(), 0
        uses += 1
        return context

    return get
