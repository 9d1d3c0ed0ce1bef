"""The classifier of a file: a linear layer on pooled features, as timm and transformers have it.

logits = W z + b,   z the class token of a ViT, the mean of the cells of others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.interop import files
from m3i_jax.types import Array, Features

# (weight, bias) of transformers' ViT and Swin, its ResNet, timm's ViT, its Swin V2 and its ResNet.
NAMES = ("classifier", "classifier.1", "head", "head.fc", "fc")


class Head(NamedTuple):
    """A linear layer, and what its rows are called.

    kernel: (C, D).  bias: (C,).  classes: names, () where the file says none.
    pool: "cls" or "mean", of the features that it is on.
    """

    kernel: Float[np.ndarray, "classes dim"]
    bias: Float[np.ndarray, " classes"]
    classes: tuple[str, ...]
    pool: str

    def scores(self, features: Features) -> Float[Array, "batch classes"]:
        """Logits of what the encoder makes of images."""
        z = features.pooled if self.pool == "cls" else features.tokens.mean(1)
        return jnp.matmul(z, self.kernel.T, precision="highest") + self.bias[None]


def of(model: Model, *, what: str) -> Head:
    """The classifier in the file of a model.

    what: that needs it, for sentences.

    Raises:
      NotMeasurable: there is none, or one that is on something else than pooled features.
    """
    path = Path(model.name)
    file = files.located(path)
    state = _read(file) if file else {}
    width = model.network.nodes["image"].width
    for name in NAMES:
        kernel, bias = state.get(f"{name}.weight"), state.get(f"{name}.bias")
        if kernel is not None and kernel.ndim == 2 and kernel.shape[1] == width:
            bias = np.zeros(len(kernel), np.float32) if bias is None else bias
            return Head(kernel, bias, _classes(file, len(kernel)), model.pool)
    raise NotMeasurable(
        f"{what} needs a model with a classifier of its own, and '{path}' has no linear layer on "
        f"{width} features called {', '.join(NAMES[:-1])} or {NAMES[-1]}"
    )


def _read(file: Path) -> Mapping[str, np.ndarray]:
    try:
        return files.read(file)
    except ConfigError:  # a torch file, whose tensors conversion alone reads
        return {}


def _classes(file: Path, count: int) -> tuple[str, ...]:
    """transformers' id2label, or timm's label_names; () where neither says all of them."""
    config: dict[str, Any] = files.beside(file, files.CONFIG)
    named = config.get("id2label") or {}
    if isinstance(named, Mapping):
        names = [named.get(str(number)) for number in range(count)]
    else:
        names = []
    names = names if all(names) and names else config.get("label_names") or []
    sound = isinstance(names, list) and len(names) == count
    return tuple(map(str, names)) if sound else ()
