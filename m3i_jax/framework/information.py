"""What a term says about the mutual information it maximises: E log P̂ + H(z_y), in nats.

For candidates it is InfoNCE's bound or the entropy of their use; around continuous codes a
Gaussian estimate per dimension (docs/methods.md#information). Beside it stands the health of the
target: how far its codes spread, and over how many directions or candidates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Float, Float32

from m3i_jax import losses, metrics, normalize
from m3i_jax.types import Array

ROWS = 8192  # of tokens, at most about so many are looked at


class Evidence(NamedTuple):
    """Scalars of one term; what does not apply is None.

    prediction: E log P̂.  entropy: estimate of H(z_y); the sum of both is the information.
    spread: standard deviation of the target's directions, 1 on a sphere, 0 where all are alike.
    rank: directions that the target fills.  used: candidates that it chooses.
    """

    prediction: Float32[Array, ""]
    entropy: Float32[Array, ""]
    spread: Float32[Array, ""] | None = None
    rank: Float32[Array, ""] | None = None
    used: Float32[Array, ""] | None = None

    @property
    def information(self) -> Float32[Array, ""]:
        """E log P̂ + H(z_y)."""
        return self.prediction + self.entropy


def _health(z: Float[Array, "rows dim"]) -> dict[str, Float32[Array, ""]]:
    return {"spread": metrics.feature_std(z), "rank": metrics.participation(z)}


def _of_codes(prediction: Float[Array, "rows dim"], target: Float[Array, "rows dim"]) -> Evidence:
    likelihood, entropy = metrics.gaussian_information(prediction, target)
    return Evidence(likelihood, entropy, **_health(target))


def of_tokens(
    prediction: Float[Array, "batch tokens dim"], target: Any, rows: Float[Array, " batch"]
) -> Evidence:
    """A Gaussian around tokens (B, L, D); every k-th of them where there are many."""
    batch, length, width = target.tokens.shape
    # The covariance is (D, D) however many rows it is made of, and its estimate has settled long
    # before all tokens of a large batch are counted.
    step = max(1, batch * length // ROWS)
    thin = lambda x: x[:, ::step].reshape(-1, width)  # noqa: E731
    return _of_codes(thin(prediction), thin(target.tokens))


def of_pooled(
    prediction: Float[Array, "batch dim"], target: Any, rows: Float[Array, " batch"]
) -> Evidence:
    """A Gaussian around global codes (B, D)."""
    return _of_codes(prediction, target.pooled)


def of_standardized(
    prediction: Float[Array, "batch dim"], target: Any, rows: Float[Array, " batch"]
) -> Evidence:
    """A Gaussian around codes standardised over the batch."""
    standard = lambda z: (z - z.mean(0, keepdims=True)) / (z.std(0, keepdims=True) + 1e-5)  # noqa: E731
    one, two = standard(prediction), standard(target.pooled)
    # Standardised codes have spread 1 even where the encoder has collapsed: health is looked at
    # before.
    return _of_codes(one, two)._replace(**_health(target.pooled))


def on_sphere(evidence: Callable) -> Callable:
    """The same, of directions."""

    unit = lambda x: None if x is None else normalize.unit(x)  # noqa: E731

    def estimate(prediction, target, rows):
        # `target` is a Target; the one of its fields that is not there stays None.
        target = target._replace(tokens=unit(target.tokens), pooled=unit(target.pooled))
        return evidence(unit(prediction), target, rows)

    return estimate


def _mean(
    values: Float32[Array, " batch"] | Float32[Array, "batch tokens"], rows: Float[Array, " batch"]
) -> Float32[Array, ""]:
    """Mean over the batch by the weights of its rows; values (B,) or (B, L)."""
    values = values if values.ndim == 1 else values.mean(-1)
    return (values * rows).mean()


def of_choice(score: Callable) -> Callable:
    """A table of candidates: the entropy of how often this batch chose each."""

    def estimate(prediction, target, rows):
        shares = metrics.usage(target.target_index, target.candidates.shape[0], weights=rows)
        entropy = metrics.entropy(shares)
        return Evidence(-_mean(score(prediction, target), rows), entropy)

    return estimate


def of_vocabulary(
    prediction: Float[Array, "batch tokens vocabulary"], target: Any, rows: Float[Array, " batch"]
) -> Evidence:
    """A vocabulary: the entropy of how often this batch used each token that is asked for."""
    index, asked = target.target_index, target.asked
    asked = jnp.ones(index.shape) if asked is None else asked.astype(jnp.float32)
    shares = metrics.usage(index, prediction.shape[-1], weights=asked)
    entropy = metrics.entropy(shares)
    # Of an image with fewer tokens each counts for more, as in the loss.
    asked = asked / jnp.maximum(asked.sum(-1, keepdims=True), 1.0)
    likelihood = -_mean((losses.categorical(prediction, index) * asked).sum(-1), rows)
    # exp H: so many candidates, used equally often, would have this entropy.
    return Evidence(likelihood, entropy, used=jnp.exp(entropy))


def of_batch(score: Callable, *, per_row: int = 1, tokens: bool = False) -> Callable:
    """M equally likely candidates of the batch: the bound cannot exceed log M (InfoNCE)."""

    def estimate(prediction, target, rows):
        z = target.tokens if tokens else target.pooled
        # The right one and all that the loss puts beside it; the log of their number is H(z_y).
        count = per_row * z.shape[0] - (per_row - 1)
        if tokens:
            # Own tokens, and one mean token for each other image (`distributions.dense_contrast`).
            count = z.shape[0] - 1 + z.shape[1]
        elif target.valid is not None:
            # Captions that are missing are no candidates.
            count = target.valid.sum()
        entropy = jnp.log(jnp.asarray(count, jnp.float32))
        flat = z.reshape(-1, z.shape[-1])
        return Evidence(-_mean(score(prediction, target), rows), entropy, **_health(flat))

    return estimate


def of_queue(score: Callable) -> Callable:
    """The right code and those of a queue, equally likely."""

    def estimate(prediction, target, rows):
        entropy = jnp.log(jnp.float32(target.candidates.shape[0] + 1))
        z = target.pooled if target.tokens is None else target.tokens
        flat = z.reshape(-1, z.shape[-1])
        return Evidence(-_mean(score(prediction, target), rows), entropy, **_health(flat))

    return estimate


def of_shares(score: Callable, *, dense: bool = False) -> Callable:
    """Shares of prototypes: the entropy of their mean over the batch; dense: of all tokens."""

    def estimate(prediction, target, rows):
        # The mean over the batch, not the mean of the entropies: shares that are all the same
        # choose nothing, however soft they are.
        shares = target.tokens if dense else target.pooled
        entropy = metrics.entropy(shares.reshape(-1, shares.shape[-1]).mean(0))
        likelihood = -_mean(score(prediction, target), rows)
        return Evidence(likelihood, entropy, used=jnp.exp(entropy))

    return estimate
