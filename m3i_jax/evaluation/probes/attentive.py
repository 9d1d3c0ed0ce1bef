"""Attentive probes: a learned query looks at the patch tokens, and a linear layer at what it saw.

CAPI, Darcet et al. 2025, https://arxiv.org/abs/2502.08769 (eval_classification.py); AIM, El-Nouby
et al. 2024, §4, https://arxiv.org/abs/2401.08541 (AttentionPoolingClassifier), trained as AIMv2
says it, Fini et al. 2024, Table A2, https://arxiv.org/abs/2411.14402.

With one query the keys and values of tokens need not be made: for each head of attention

    qᵀ(W_k x_t + b_k) = (W_kᵀq)ᵀx_t + const,   Σ_t a_t (W_v x_t + b_v) = W_v (Σ_t a_t x_t) + b_v,

which is the same function of the same parameters for a fraction of the work; b_k has no effect.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.evaluation.probes import grid
from m3i_jax.evaluation.probes.heads import Params
from m3i_jax.types import Array

HEAD = 64  # features of a head of attention


def attend(params: Params, x: Float[Array, "batch tokens dim"]) -> Float[Array, "batch classes"]:
    """Logits: softmax(qᵀk/√d) over the tokens in each head of attention, values, a linear layer.

    With biases, which is CAPI's form, or without, AIM's, whose tokens are normalised before.
    """
    product = functools.partial(jnp.einsum, precision="highest")
    width = x.shape[-1]
    split = (heads_of(width), width // heads_of(width))
    query = params["query"].reshape(split)
    asked = product("dhk,hk->hd", params["key"].reshape(width, *split), query)
    weight = jax.nn.softmax(product("btd,hd->bht", x, asked) / np.sqrt(split[1]), axis=-1)
    seen = product("bht,btd->bhd", weight, x)
    values = product("bhd,dhk->bhk", seen, params["value"].reshape(width, *split))
    pooled = values.reshape(len(x), width)
    if "bias" not in params:
        return product("bd,dc->bc", pooled, params["kernel"])
    pooled += params["value_bias"][None]
    return product("bd,dc->bc", pooled, params["kernel"]) + params["bias"][None]


def start(
    key: Array, width: int, classes: int, *, deviation: float = 0.02, biases: bool = True
) -> Params:
    """Normal weights, and biases of 0. (torch's trunc_normal_ cuts at ±2, not at 2 deviations.)"""
    shapes = {"query": (width,), "key": (width, width), "value": (width, width)}
    shapes["kernel"] = (width, classes)
    keys = jax.random.split(key, len(shapes))
    params = {
        name: deviation * jax.random.normal(k, shape)
        for k, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    return (
        params
        if not biases
        else params | {"value_bias": jnp.zeros(width), "bias": jnp.zeros(classes)}
    )


def heads_of(width: int) -> int:
    """Heads of attention: of 64 features each where they divide the width, else one."""
    return width // HEAD if width % HEAD == 0 else 1


class Form(NamedTuple):
    """A published probe: its head, and how it is trained.

    biases, normalise: of the head, and whether tokens go through a batch norm without affine.
    rates, floor: peaks and the least rate, per 256 images of a batch.  decays: of all weights.
    rule: AdamW without a rate, made once: programs are compiled for it.  said: in words.
    warmup: one in so many steps.  most: steps, however many images there are; None = no limit.
    rand_augment: of the random crops, see `Crops`; None = off.
    """

    biases: bool
    normalise: bool
    rates: tuple[float, ...]
    decays: tuple[float, ...]
    rule: optax.GradientTransformation
    said: str
    warmup: int
    floor: float = 0.0
    most: int | None = None
    rand_augment: Mapping[str, Any] | None = None

    def factors(self, steps: int, warmup: int | None = None) -> Float[np.ndarray, " steps"]:
        """Of the rate: 0 to 1 over the warm-up, then a cosine to 0, ends included.

        Raises:
          ConfigError: a warm-up as long as the training.
        """
        rising = steps // self.warmup if warmup is None else warmup
        if rising >= steps:
            raise ConfigError(f"a warm-up of {rising} steps leaves nothing of {steps}")
        falling = np.linspace(0, np.pi, steps - rising)
        return np.append(np.linspace(0, 1, rising), 0.5 * (1 + np.cos(falling)))


CAPI = Form(
    biases=True,
    normalise=False,
    rates=(1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2),
    decays=(5e-4, 1e-3, 5e-2),
    rule=optax.scale_by_adam(0.9, 0.95),
    said="adamw, betas 0.9 and 0.95",
    warmup=10,
    most=grid.STEPS,
)
AIM = Form(
    biases=False,
    normalise=True,
    rates=tuple(x / 4 for x in (5e-5, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3, 2e-3)),  # of 1024 images
    decays=(0.05, 0.1),
    rule=optax.chain(optax.clip_by_global_norm(3.0), optax.scale_by_adam(0.9, 0.999)),
    said="adamw, betas 0.9 and 0.999, gradients clipped to 3",
    warmup=20,
    floor=1e-5 / 4,
    rand_augment=dict(magnitude=9.0, deviation=0.5),
)
