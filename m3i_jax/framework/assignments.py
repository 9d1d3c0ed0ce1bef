"""How logits over prototypes become targets: centred, balanced or sharpened shares of each."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from m3i_jax import losses
from m3i_jax.types import Array, Scalar

Logits = Float[Array, "*positions prototypes"]
Shares = Float32[Array, "*positions prototypes"]


class Assignment(NamedTuple):
    """Logits (..., K) -> shares of prototypes (..., K), which sum to 1.

    shares: (logits, centre, progress of the training, beside) -> shares. Beside pooled logits are
      those (M, K) of earlier codes; beside (B, n, K) of tokens is which of them count, (B, n) bool.
    momentum: of the centre (K,), the running mean of the logits; None = there is none.
    keeps: how it keeps the target from collapsing, in a word; "" = not at all.
    batchwise: whether shares depend on other rows of the batch.
    """

    shares: Callable[..., Shares]
    momentum: float | None = None
    keeps: str = ""
    batchwise: bool = False


def centring(
    *, temperature: float | tuple = 0.04, momentum: float = 0.9, on: bool = True
) -> Assignment:
    """softmax((a − c)/τ), c ← m c + (1 − m) mean a of the global batch, behind its use.

    DINO (Caron et al. 2021, Eq. 1 and 4, https://arxiv.org/abs/2104.14294).

    temperature: τ, or a ramp of it, see `temperature_at`.
    on: without, c is 0, which collapses.
    """
    tau = temperature_at(temperature)
    if not on:
        return Assignment(
            lambda a, centre, progress, beside=None: jax.nn.softmax(a / tau(progress), axis=-1)
        )

    def shares(a, centre, progress, beside=None):
        return losses.centred(a, centre, temperature=tau(progress))

    return Assignment(shares, momentum, "centring")


def balancing(
    *,
    temperature: float | tuple = 0.05,
    iterations: int = 3,
    per_position: bool = False,
    since: float = 0.0,
) -> Assignment:
    """Sinkhorn of exp(a/τ): all prototypes are to be used alike by the global batch.

    SwAV (Caron et al. 2020, Algorithm 1, https://arxiv.org/abs/2006.09882), DINOv2; at each
    position of an image by itself in CAPI. docs/methods.md#assignments-to-prototypes.

    temperature: τ, or a ramp of it, see `temperature_at`.
    since: share of the training from which on earlier codes count beside the batch, if there are
      any (SwAV's queue).
    """
    tau = temperature_at(temperature)

    def shares(a, centre, progress, beside=None):
        how = dict(temperature=tau(progress), iterations=iterations, per_position=per_position)
        # Of tokens, `beside` says which count; of pooled codes it is more of them.
        if beside is None or a.ndim == 3:
            return losses.balanced(a, where=beside, **how)
        # Rows that do not count yet keep their place: shapes do not change in a run.
        count = jnp.ones(len(beside), bool) & (progress > since)
        count = jnp.concatenate([count, jnp.ones(len(a), bool)])
        return losses.balanced(jnp.concatenate([beside, a]), where=count, **how)[len(beside) :]

    return Assignment(shares, keeps="equipartition", batchwise=True)


def sharpening(*, sharpen: float = 0.25, iterations: int = 3) -> Assignment:
    """p⁺ ∝ p^(1/sharpen), then `iterations` of Sinkhorn over the global batch; 0 leaves them out.

    MSN (Assran et al. 2022, https://arxiv.org/abs/2204.07141).
    """

    def shares(a, centre, progress, beside=None):
        p = losses.sharpen(jax.nn.softmax(a, axis=-1), 1.0 / sharpen)
        return losses.sinkhorn(p, iterations=iterations)

    keeps = "equipartition" if iterations else ""
    return Assignment(shares, keeps=keeps, batchwise=iterations > 0)


def temperature_at(ramp: float | tuple) -> Callable[[Scalar], Scalar]:
    """(progress) -> τ: a number, or (start, end, share): linearly over that share of the training.

    (start, end, share, n) does it in n equal steps, of which the first is at `start` and the last
    at `end`, which stays: DINO's 30 epochs, in each of which τ is constant (docs/methods.md#dino).

    Raises:
      ValueError: a temperature that is not positive, a share or a number of steps that is none.
    """
    if isinstance(ramp, int | float):
        ramp = (ramp, ramp, 1.0)
    if len(ramp) not in (3, 4):
        raise ValueError(
            f"a temperature is a number, (start, end, share) or with steps, not {ramp}"
        )
    start, end, share, *steps = ramp
    if not (start > 0 and end > 0 and 0 < share <= 1) or any(n != int(n) or n < 2 for n in steps):
        raise ValueError(
            f"a ramp of temperatures is {tuple(ramp)}, expected two positive ones, a share of the "
            "training and, if any, 2 or more whole steps"
        )

    def at(progress):
        if start == end:
            return start
        if not steps:
            return start + (end - start) * jnp.minimum(progress / share, 1.0)
        # Progress counts the step itself; the margin is for the rounding of its division.
        done = jnp.ceil(progress / share * steps[0] - 1e-4) - 1.0
        return start + (end - start) * jnp.clip(done / (steps[0] - 1), 0.0, 1.0)

    return at
