"""What a method makes of a batch while nothing is learned: views, codes, and predictions of them.

Pixels that were predicted come back to the scale of the image here, too.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from m3i_jax import framework as fw
from m3i_jax import geometry, normalize
from m3i_jax.framework import Method, Target
from m3i_jax.framework.scoring import Prepared
from m3i_jax.types import Array, Features, View


class Seen(NamedTuple):
    """What a method made of a batch.

    prepared: all views, those made of codes too, and masks.
    representations: by code, none where neither a term nor a view wants any.
    predicted: {term: (prediction, what was to be predicted)}.
    """

    prepared: Prepared
    representations: dict[str, Features]
    predicted: dict[str, tuple[Array, Target]]


def look(
    method: Method,
    network: Any,
    params: Any,
    states: Mapping[str, Any],
    views: Mapping[str, View],
    *,
    key: Array,
    terms: tuple[str, ...] = (),
    sampling: Array | None = None,
) -> Seen:
    """One pass in evaluation. The same `key` as a training step's sees what that step saw.

    params: of the whole online network.  states: by slot; those that no code reads may be missing.
    terms: whose predictions are wanted.
    sampling: key of what is drawn from codes, `key` if None: other samples under the same masks.
    """
    prepared = fw.prepare(method, network, views, key=key, params=params, states=states)
    if not (terms or any(view.codes for view in method.views.values())):
        return Seen(prepared, {}, {})  # nothing that is asked for needs a code
    options = dict(train=False, key=key if sampling is None else sampling)
    representations, _, prepared = fw.encode(method, network, params, states, prepared, **options)
    answers = fw.predict(method, network, params, representations, prepared, terms)
    return Seen(prepared, representations, answers)


# Mean and deviation that each kind of pixel target was normalised with, see `framework.pixels`.
STATISTICS: dict[str, Callable[[Array, int], tuple]] = {
    "raw": lambda images, patch: (0.0, 1.0),
    "patch": normalize.patch_statistics,
    "window": lambda images, patch: normalize.window_statistics(images),
    "window47": lambda images, patch: normalize.window_statistics(
        images, window=47, per_channel=True
    ),
}


def pixel_terms(method: Method) -> tuple[str, ...]:
    """The terms that predict pixels."""
    return tuple(name for name in method.terms if _normalization(method, name) in STATISTICS)


def pixels(method: Method, network: Any, prepared: Prepared, term: str, tokens: Array) -> Array:
    """Images of predicted pixels (B, h·w, p·p·3) -> (B, H, W, 3), on the scale of the view.

    What a normalisation took away, mean and deviation, is the original's own (CIM, footnote 1):
    zeros show what that alone gives.
    """
    code = method.codes[method.terms[term].y]
    tower, image = network.towers[code.encoder.tower], prepared.views[code.view].data
    mean, deviation = STATISTICS[_normalization(method, term)](image, tower.patch)
    return geometry.unpatchify(tokens, tower.patch, tower.grid) * deviation + mean


def replaced_terms(method: Method) -> tuple[str, ...]:
    """The terms that predict which cells of a view were replaced."""
    encoders = {name: method.codes[term.y].encoder for name, term in method.terms.items()}
    return tuple(
        name for name, encoder in encoders.items() if encoder.represents == "replaced cells"
    )


def cells(method: Method, network: Any, seen: Seen, term: str) -> tuple[Array, Array]:
    """Log-odds that a cell was replaced, and whether it was: (B, h, w) float32 and bool."""
    odds, target = seen.predicted[term]
    grid = network.towers[method.codes[method.terms[term].y].encoder.tower].grid
    shape = (len(odds), *grid)
    return odds.reshape(shape), target.tokens.reshape(shape) > 0.5


def _normalization(method: Method, term: str) -> str | None:
    """How the pixels that a term predicts are normalised; None where it predicts something else."""
    encoder = method.codes[method.terms[term].y].encoder
    return encoder.normalization if encoder.represents == "pixels" else None
