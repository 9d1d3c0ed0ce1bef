"""Encoders f: whatever turns a view into a code, as a triple of pure functions.

The network being trained, its moving average, normalised pixels, a class table and a text tower
are all values of one type, so a method never asks which of them it is using.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from m3i_jax import geometry, normalize, trees
from m3i_jax.types import Array, Features


class Encoder(NamedTuple):
    """`(init, apply, update)`: an encoder with explicit state.

    name: encoders of one name share one state.
    tower: the tower of the network whose grid its codes live on.
    init: (params) -> state.
    apply: (network, params, state, view, *, visible, keep, train, key) -> (Features, aux).
    update: (params, state, aux, progress in [0, 1]) -> state, after the optimiser's step.
    width: (towers) -> dimension of its codes.
    refine: name of the token head behind the tower, if it has one.
    gauges: (progress) -> {metric: scalar} worth a line in the log.
    """

    name: str
    tower: str
    init: Callable[..., Any]
    apply: Callable[..., tuple[Features, Any]]
    update: Callable[..., Any]
    width: Callable[..., int]
    refine: str | None = None
    gauges: Callable[[Array], dict[str, Array]] = lambda progress: {}


def _nothing(params: Any) -> tuple:
    return ()


def _keep(params: Any, state: Any, aux: Any, progress: Array) -> Any:
    return state


def _encode(network, params, view, tower, refine, **how) -> Features:
    """The tower's features, passed through the token head where one is named."""
    features = network.encode(params, tower, view.data, **how)
    if refine is None:
        return features
    grid, train, key = network.towers[tower].grid, how["train"], how["key"]
    return network.refine(params, refine, features, grid=grid, train=train, key=key)


def online(tower: str = "image", *, refine: str | None = None) -> Encoder:
    """f_θ: the network being trained; gradients flow."""

    def apply(network, params, state, view, **how):
        return _encode(network, params, view, tower, refine, **how), ()

    name = "/".join(filter(None, ("online", tower, refine)))
    return Encoder(name, tower, _nothing, apply, _keep, lambda t: t[tower].width, refine)


def momentum_at(progress: Array, *, momentum: float, end: float) -> Array:
    """μ(p) = end − (end − μ₀)·½(1 + cos πp): a cosine ramp over the training (METHODS §1.4)."""
    return end - (end - momentum) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def ema(
    tower: str = "image",
    *,
    refine: str | None = None,
    momentum: float = 0.995,
    end: float = 1.0,
) -> Encoder:
    """f_φ: moving average of the network, φ ← μφ + (1−μ)θ in float32; no gradient (METHODS §1.4).

    μ goes from `momentum` to `end` by a cosine over the training; equal values keep it constant.
    The update follows the optimiser's step; an update before the next forward pass, as SiameseIM
    has it, is the same sequence with μ one step later. Only what the code passes through is
    averaged: the tower and its token head. Dropout and drop path are off.
    """
    scope = rf"^encoders/{tower}/" + (rf"|^decoders/{refine}/" if refine else "")

    def init(params):
        return jax.tree.map(jnp.array, trees.select(params, scope))

    def apply(network, params, state, view, **how):
        state = jax.lax.stop_gradient(state)
        how |= {"train": False, "key": None}
        return jax.lax.stop_gradient(_encode(network, state, view, tower, refine, **how)), ()

    def update(params, state, aux, progress):
        mu = momentum_at(progress, momentum=momentum, end=end)
        fresh = trees.select(params, scope)
        return jax.tree.map(lambda phi, theta: mu * phi + (1.0 - mu) * theta, state, fresh)

    def gauges(progress):
        return {"ema/momentum": momentum_at(progress, momentum=momentum, end=end)}

    return Encoder("ema", tower, init, apply, update, lambda t: t[tower].width, refine, gauges)


PIXELS: dict[str, Callable[[Array, int], Array]] = {
    "raw": lambda images, patch: images,
    "patch": normalize.patches,
    "window": lambda images, patch: normalize.sliding_window(images),
}


def pixels(tower: str = "image", *, normalization: str = "patch") -> Encoder:
    """The image itself, cut into the tower's patches: (B, h·w, p·p·3), no parameters.

    normalization: "raw", "patch" (MAE: by each patch's own mean and variance) or "window"
    (CIM: by the 8x8 window around each pixel).
    """
    if normalization not in PIXELS:
        kinds = ", ".join(sorted(PIXELS))
        raise ValueError(f"pixels are normalized by one of {kinds}, not '{normalization}'")

    def apply(network, params, state, view, **how):
        patch = network.towers[tower].patch
        images = PIXELS[normalization](view.data.astype(jnp.float32), patch)
        tokens = geometry.patchify(images, patch)
        return Features(tokens=jax.lax.stop_gradient(tokens)), ()

    def width(towers):
        return 3 * towers[tower].patch ** 2

    return Encoder(f"pixels/{normalization}", tower, _nothing, apply, _keep, width)


def then(encoder: Encoder, fn: Callable[[Features], Features], *, name: str) -> Encoder:
    """`encoder` followed by `fn`; the state and its update stay the encoder's own."""

    def apply(*args, **how):
        features, aux = encoder.apply(*args, **how)
        return fn(features), aux

    stateless = encoder.init is _nothing
    return encoder._replace(apply=apply, name=name if stateless else encoder.name)


def standardize(encoder: Encoder) -> Encoder:
    """LN0 behind an encoder: tokens with zero mean and unit variance over D (METHODS §3.6)."""
    fn = lambda f: f._replace(tokens=normalize.layer(f.tokens))  # noqa: E731
    return then(encoder, fn, name=f"{encoder.name}/standardized")


def stopped(encoder: Encoder) -> Encoder:
    """`encoder` with no gradient through its codes."""
    return then(encoder, jax.lax.stop_gradient, name=f"{encoder.name}/stopped")
