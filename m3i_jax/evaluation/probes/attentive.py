"""Attentive probes: a learned query looks at the patch tokens, and a linear layer at what it saw.

CAPI, Darcet et al. 2025, https://arxiv.org/abs/2502.08769 (eval_classification.py); AIM, El-Nouby
et al. 2024, §4, https://arxiv.org/abs/2401.08541 (AttentionPoolingClassifier).

With one query the keys and values of tokens need not be made: for each head of attention

    qᵀ(W_k x_t + b_k) = (W_kᵀq)ᵀx_t + const,   Σ_t a_t (W_v x_t + b_v) = W_v (Σ_t a_t x_t) + b_v,

which is the same function of the same parameters for a fraction of the work; b_k has no effect.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

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


def schedule(steps: int, warmup: int) -> np.ndarray:
    """CAPI's factors of the rate: 0 to 1 over the warm-up, then a cosine to 0, ends included."""
    return np.append(
        np.linspace(0, 1, warmup), 0.5 * (1 + np.cos(np.linspace(0, np.pi, steps - warmup)))
    )
