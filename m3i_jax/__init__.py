"""Pre-train vision encoders by maximising multi-modal mutual information.

Every method here predicts the code of a target from the code of an input, and keeps the codes of
the target diverse (M3I, Su et al. 2023, Eq. 1 to 4, https://arxiv.org/abs/2211.09807):

    loss = −log P̂( z_y | ψ(z_x, t_x, t_y) )  −  H(z_y)

so a method is data: views, codes, and terms that predict one code from another. `methods` is that
table; `losses`, `masks`, `mixing`, `normalize`, `geometry`, `augment`, `heatmaps`, `detection` and
`metrics` are pure functions of arrays that any JAX project can use alone. `load` reads an encoder
that was trained:

    encoder = m3i_jax.load("runs/mae")
    features = encoder.encode(images)

Submodules load on first use.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

__all__ = [
    "augment",
    "decoders",
    "detection",
    "encoders",
    "framework",
    "geometry",
    "heatmaps",
    "load",
    "losses",
    "masks",
    "methods",
    "metrics",
    "mixing",
    "normalize",
]


def __getattr__(name: str) -> Any:
    """Imports what is first asked for (PEP 562): a submodule, or `load`, which uses them all."""
    if name == "load":
        return importlib.import_module(f"{__name__}.evaluation.encoder").load
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
