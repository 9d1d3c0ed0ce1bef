"""What a first state takes of weights that are there, in words: what is new, what is left out."""

from collections.abc import Iterable, Mapping
from typing import Any

from m3i_jax.interop import importing
from m3i_jax.interop.importing import Report

SHOWN = 4  # weights of a module that are named
ENCODER = "encoders/image"
POSITIONS, NORM = f"{ENCODER}/pos_embed", f"{ENCODER}/norm/"


def sentences(account: Report, *, encoder: Mapping[str, Any]) -> list[str]:
    """What becomes of every weight that is wanted or there, and the notes of the account.

    encoder: block of the run's image encoder.
    """
    tuned = encoder.get("positions") == "tuned" and POSITIONS in account.missing
    new = [path for path in account.missing if not (tuned and path == POSITIONS)]
    said = [f"{len(account.matched)} weights are taken"]
    if tuned:
        said.append(f"{POSITIONS} starts as the fixed positions, which have no weights and learn "
                    "from now on: nothing of them is lost")  # fmt: skip
    if new:
        said.append(f"{len(new)} are not there and start as this run draws them: {_named(new)}")
    if account.extra:
        said.append(f"{len(account.extra)} are there and not used, as this run has no such part: "
                    f"{_named(account.extra)}")  # fmt: skip
    heads = _with_norm(new)
    if heads and any(path.startswith(NORM) for path in account.extra):
        said.append(f"the norm of the head '{heads[0]}', which is new, stands for the encoder's "
                    "last one")  # fmt: skip
    return [*said, *account.notes]


def _with_norm(paths: Iterable[str]) -> list[str]:
    """Decoders among whose weights are those of a norm."""
    of = (path for path in paths if path.startswith("decoders/") and "/norm/" in path)
    return [path.split("/")[1] for path in of]


def _named(paths: Iterable[str]) -> str:
    """The modules of weights, and which of them, or how many."""
    modules = importing.by_module(dict.fromkeys(paths))
    names = {
        name: ", ".join(within) if len(within) <= SHOWN else f"{len(within)} weights"
        for name, within in modules.items()
    }
    return "; ".join(f"{module} ({which})" for module, which in names.items())
