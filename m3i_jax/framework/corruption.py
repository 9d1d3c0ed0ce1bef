"""CIM's corrupted image: hidden visual tokens replaced by a generator's, and decoded.

A tokenizer turns an image into visual tokens and those into an image (docs/methods.md#cim). Its
weights are frozen state; nothing here has a gradient.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from m3i_jax import geometry, normalize, renamed
from m3i_jax.build import nearest
from m3i_jax.framework.codes import Encoder, frozen, then
from m3i_jax.framework.targets import visual_tokens
from m3i_jax.framework.views import DerivedInputs, DerivedView
from m3i_jax.types import Array, Features, Region, View

VisualTokens = Int[Array, "batch tokens"]
Logits = Float[Array, "batch tokens vocabulary"]


class Tokenizer(NamedTuple):
    """Images to visual tokens and back.

    encode: encoder whose `target_index` (B, n) are visual tokens.
    decode: (inputs, tokens) -> normalised images (B, h·s, w·s, 3), s pixels for each token.
    """

    encode: Encoder
    decode: Callable[[DerivedInputs, VisualTokens], Float[Array, "batch height width 3"]]


@renamed.arguments(codes="vocabulary")
def vq_tokenizer(*, vocabulary: int = 8192, tower: str = "tokenizer") -> Tokenizer:
    """Visual tokens of a codebook that this library trained with the image as target (`vq_vae`).

    `bottleneck` leads from the tower to the tokens, the token decoder `painter` from the tokens to
    normalised pixels.
    """
    # The token decoder is loaded with the rest, but no code passes through it: it leads the other
    # way.
    encoder = frozen(tower, heads="bottleneck", extra_heads="painter")

    def decode(inputs, tokens):
        vectors = inputs.states["codebook"]["words"][tokens]
        return _decoded(inputs, tower, Features(tokens=vectors))

    return Tokenizer(visual_tokens(encoder, vocabulary=vocabulary), decode)


@renamed.arguments(codes="vocabulary")
def dalle_tokens(
    *, vocabulary: int = 8192, tower: str = "tokenizer", extra_heads: tuple = ()
) -> Encoder:
    """The likeliest visual token of each cell by DALL-E's dVAE, `dalle_encoder`.

    Ramesh et al. 2021, appendix A, https://arxiv.org/abs/2102.12092.
    """

    def likeliest(features):
        return Features(target_index=features.tokens.argmax(-1).astype(jnp.int32))

    return then(frozen(tower, extra_heads=extra_heads), likeliest, width=lambda nodes: vocabulary)


@renamed.arguments(codes="vocabulary")
def dalle_tokenizer(*, vocabulary: int = 8192, tower: str = "tokenizer") -> Tokenizer:
    """DALL-E's dVAE: `dalle_encoder` as the tower, `dalle_decoder` as `painter`.

    docs/methods.md#visual-tokens.
    """

    def decode(inputs, tokens):
        return normalize.channels(_decoded(inputs, tower, Features(target_index=tokens)))

    return Tokenizer(
        dalle_tokens(vocabulary=vocabulary, tower=tower, extra_heads=("painter",)), decode
    )


TOKENIZERS = {"vq": vq_tokenizer, "dalle": dalle_tokenizer}


def _decoded(
    inputs: DerivedInputs, tower: str, features: Features
) -> Float[Array, "batch height width 3"]:
    """Pictures (B, h·s, w·s, 3) that the frozen token decoder makes of visual tokens."""
    grid, weights = inputs.network.towers[tower].grid, inputs.states[f"frozen/{tower}"]
    # (B, h·w, s·s·3): each token holds the s x s pixels of its cell.
    patches = inputs.network.refine(weights, "painter", features, grid=grid, train=False).tokens
    side = round((patches.shape[-1] / 3) ** 0.5)
    return geometry.unpatchify(patches, side, grid)


def _sampled(key: Key[Array, ""], logits: Logits) -> VisualTokens:
    return jax.random.categorical(key, logits)


def _likeliest(key: Key[Array, ""], logits: Logits) -> VisualTokens:
    return logits.argmax(-1)


def _uniform(key: Key[Array, ""], logits: Logits) -> VisualTokens:
    return jax.random.randint(key, logits.shape[:-1], 0, logits.shape[-1])


# How visual tokens are drawn from a generator's logits (CIM Table 7).
SAMPLERS: dict[str, Callable[[Key[Array, ""], Logits], VisualTokens]] = {
    "softmax": _sampled,
    "argmax": _likeliest,
    "uniform": _uniform,
}


@renamed.arguments(golden="target", guess="prediction")
def corrupted(
    view: str,
    *,
    target: str,
    prediction: str,
    decoder: str,
    tokenizer: Tokenizer,
    sampling: str = "softmax",
    temperature: float = 1.0,
) -> DerivedView:
    """c_j = ĝ_j at hidden cells, ĝ ~ P̂(tokens | visible), else the target token; decoded (CIM §2).

    The picture is brought to the size of `view` bilinearly. Its region "replaced" are the cells
    whose token has changed: a sample that equals the target token is no replacement.

    Args:
      view: the image, whose crop the corrupted one keeps.
      target, prediction: codes of the image's visual tokens, and of the generator that sees a part.
      decoder: from the generator's code to logits over visual tokens.
      tokenizer: whose tokens these are.
      sampling: "softmax", "argmax" or "uniform".  temperature: of the softmax.
    """
    if sampling not in SAMPLERS:
        raise ValueError(
            f"visual tokens are not drawn by '{sampling}'{nearest(sampling, SAMPLERS)}"
        )
    if temperature <= 0:
        raise ValueError(f"the temperature of a softmax is positive, not {temperature}")
    draw, roles = SAMPLERS[sampling], {"target": target, "prediction": prediction}

    def make(
        key: Key[Array, ""],
        views: Mapping[str, View],
        inputs: DerivedInputs,
        *,
        grid: Any,
        patch: int,
    ) -> View:
        image, visible = views[view], inputs.visible["prediction"]
        targets = inputs.representations["target"].target_index
        # (B, h·w, vocabulary) -> (B, h·w)
        drawn = draw(key, inputs.decode(decoder, "prediction") / temperature).astype(targets.dtype)
        # Where the generator saw the cell it was asked nothing: the image keeps its token.
        tokens = jnp.where(visible.reshape(targets.shape), targets, drawn)
        picture = tokenizer.decode(inputs, tokens)
        # A token may be decoded to another number of pixels than the encoder's patches have.
        picture = jax.image.resize(picture, image.data.shape, "bilinear", antialias=False)
        rows = jnp.arange(len(tokens), dtype=jnp.int32)
        # Not ~visible: a prediction that hits the target token has replaced nothing.
        replaced = Region((tokens != targets).reshape(visible.shape), rows, image.box)
        return View(picture, image.box, regions={"replaced": replaced})

    return DerivedView((view,), make, lambda region, grid: grid[0] * grid[1], codes=roles)


ASPECT = (0.3, 1 / 0.3)


def erased(view: str, *, hidden: float = 0.5) -> DerivedView:
    """Random erasing: a rectangle of noise, what CIM compares with (Table 8; docs/methods.md#cim).

    Its area is the share `hidden` of the image, up to whole pixels; its aspect log-uniform between
    3 : 10 and 10 : 3 where such a rectangle fits, its place uniform. Each of its pixels is normal.
    """
    if not 0.0 < hidden < 1.0:
        raise ValueError(f"the share of an image to erase is between 0 and 1, not {hidden}")

    def make(key: Key[Array, ""], views: Mapping[str, View], *, grid: Any, patch: int) -> View:
        images = views[view].data
        keys, shape = jax.random.split(key, 4), (images.shape[0], 1)
        # Beyond these a rectangle of that area is longer than a (square) image.
        low, high = max(ASPECT[0], hidden), min(ASPECT[1], 1 / hidden)
        span = dict(minval=jnp.log(low), maxval=jnp.log(high))
        aspect = jnp.exp(jax.random.uniform(keys[0], shape, **span))
        inside = []
        # Sides √(hidden · aspect) and √(hidden / aspect), one axis at a time; keys[3] is left over
        # for the noise.
        for key, size, share in zip(
            keys[1:], images.shape[1:3], (aspect, 1 / aspect), strict=False
        ):
            length = jnp.clip(jnp.round(size * jnp.sqrt(hidden * share)), 1, size)
            start = jnp.floor(jax.random.uniform(key, shape) * (size - length + 1))
            place = jnp.arange(size, dtype=jnp.float32)[None]
            inside.append((place >= start) & (place < start + length))
        # (B, H) and (B, W) -> (B, H, W, 1)
        cells = inside[0][:, :, None, None] & inside[1][:, None, :, None]
        noise = jax.random.normal(keys[3], images.shape, images.dtype)
        return View(jnp.where(cells, noise, images), views[view].box)

    return DerivedView((view,), make, lambda region, grid: grid[0] * grid[1], mixes=False)


def replaced(tower: str = "generator") -> Encoder:
    """RevDet's target: whether the visual token of each cell was replaced, 0 or 1, (B, h·w, 1).

    tower: on whose grid the tokens lie.
    """

    def apply(inputs):
        cells = inputs.view.regions["replaced"].cells
        return Features(tokens=cells.reshape(len(cells), -1, 1).astype(jnp.float32)), {}

    what = dict(stop_gradient=True, represents="replaced cells")
    return Encoder("replaced", tower, apply, lambda nodes: 1, **what)
