"""CIM's corrupted image: hidden words replaced by what a generator guesses, and painted anew.

A tokenizer turns an image into words and words into an image (docs/methods.md#cim). Its weights are
frozen state; nothing here has a gradient.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Key

from m3i_jax import geometry, normalize
from m3i_jax.build import nearest
from m3i_jax.framework.codes import Encoder, frozen, then
from m3i_jax.framework.targets import words
from m3i_jax.framework.views import DerivedInputs, DerivedView
from m3i_jax.types import Array, Features, Region, View

Words = Int[Array, "batch tokens"]
Logits = Float[Array, "batch tokens vocabulary"]


class Tokenizer(NamedTuple):
    """Images to words and back.

    words: encoder whose `target_index` (B, n) are words.
    paint: (inputs, tokens) -> normalised images (B, h·s, w·s, 3), s pixels for each word.
    """

    words: Encoder
    paint: Callable[[DerivedInputs, Words], Float[Array, "batch height width 3"]]


def vq_tokenizer(*, vocabulary: int = 8192, tower: str = "tokenizer") -> Tokenizer:
    """Words of a codebook that this library trained with a picture as the target (`vq_vae`).

    `bottleneck` leads from the tower to the words, `painter` from the words to normalised pixels.
    """
    # The painter is loaded with the rest, but no code passes through it: it paints in the other
    # direction.
    encoder = frozen(tower, heads="bottleneck", extra_heads="painter")

    def paint(inputs, tokens):
        vectors = inputs.states["codebook"]["words"][tokens]
        return _painted(inputs, tower, Features(tokens=vectors))

    return Tokenizer(words(encoder, vocabulary=vocabulary), paint)


def dalle_words(
    *, vocabulary: int = 8192, tower: str = "tokenizer", extra_heads: tuple = ()
) -> Encoder:
    """The likeliest word of each cell by DALL-E's dVAE, `dalle_encoder`.

    Ramesh et al. 2021, appendix A, https://arxiv.org/abs/2102.12092.
    """

    def likeliest(features):
        return Features(target_index=features.tokens.argmax(-1).astype(jnp.int32))

    return then(frozen(tower, extra_heads=extra_heads), likeliest, width=lambda nodes: vocabulary)


def dalle_tokenizer(*, vocabulary: int = 8192, tower: str = "tokenizer") -> Tokenizer:
    """DALL-E's dVAE: `dalle_encoder` as the tower, `dalle_decoder` as `painter`.

    docs/methods.md#visual-tokens.
    """

    def paint(inputs, tokens):
        return normalize.channels(_painted(inputs, tower, Features(target_index=tokens)))

    return Tokenizer(
        dalle_words(vocabulary=vocabulary, tower=tower, extra_heads=("painter",)), paint
    )


TOKENIZERS = {"vq": vq_tokenizer, "dalle": dalle_tokenizer}


def _painted(
    inputs: DerivedInputs, tower: str, features: Features
) -> Float[Array, "batch height width 3"]:
    """Pictures (B, h·s, w·s, 3) that the frozen painter makes of words."""
    grid, weights = inputs.network.towers[tower].grid, inputs.states[f"frozen/{tower}"]
    # (B, h·w, s·s·3): each token holds the s x s pixels of its cell.
    patches = inputs.network.refine(weights, "painter", features, grid=grid, train=False).tokens
    side = round((patches.shape[-1] / 3) ** 0.5)
    return geometry.unpatchify(patches, side, grid)


def _sampled(key: Key[Array, ""], logits: Logits) -> Words:
    return jax.random.categorical(key, logits)


def _likeliest(key: Key[Array, ""], logits: Logits) -> Words:
    return logits.argmax(-1)


def _uniform(key: Key[Array, ""], logits: Logits) -> Words:
    return jax.random.randint(key, logits.shape[:-1], 0, logits.shape[-1])


# How words are drawn from a generator's logits (CIM Table 7).
SAMPLERS: dict[str, Callable[[Key[Array, ""], Logits], Words]] = {
    "softmax": _sampled,
    "argmax": _likeliest,
    "uniform": _uniform,
}


def corrupted(
    view: str,
    *,
    golden: str,
    guess: str,
    decoder: str,
    tokenizer: Tokenizer,
    sampling: str = "softmax",
    temperature: float = 1.0,
) -> DerivedView:
    """c_j = ĝ_j at hidden cells, ĝ ~ P̂(words | visible), else the golden word; painted (CIM §2).

    The picture is brought to the size of `view` bilinearly. Its region "replaced" are the cells
    whose word has changed: a sample that equals the golden word is no replacement.

    Args:
      view: the image, whose crop the corrupted one keeps.
      golden, guess: codes of the image's words, and of the generator that sees a part of it.
      decoder: from the generator's code to logits over words.
      tokenizer: whose words these are.
      sampling: "softmax", "argmax" or "uniform".  temperature: of the softmax.
    """
    if sampling not in SAMPLERS:
        raise ValueError(f"words are not drawn by '{sampling}'{nearest(sampling, SAMPLERS)}")
    if temperature <= 0:
        raise ValueError(f"the temperature of a softmax is positive, not {temperature}")
    draw, roles = SAMPLERS[sampling], {"golden": golden, "guess": guess}

    def make(
        key: Key[Array, ""],
        views: Mapping[str, View],
        inputs: DerivedInputs,
        *,
        grid: Any,
        patch: int,
    ) -> View:
        image, seen = views[view], inputs.visible["guess"]
        right = inputs.representations["golden"].target_index
        # (B, h·w, vocabulary) -> (B, h·w)
        drawn = draw(key, inputs.decode(decoder, "guess") / temperature).astype(right.dtype)
        # Where the generator saw the cell it was asked nothing: the image keeps its word.
        tokens = jnp.where(seen.reshape(right.shape), right, drawn)
        picture = tokenizer.paint(inputs, tokens)
        # A word may be drawn with another number of pixels than the encoder's patches have.
        picture = jax.image.resize(picture, image.data.shape, "bilinear", antialias=False)
        rows = jnp.arange(len(tokens), dtype=jnp.int32)
        # Not ~seen: a guess that hits the golden word has replaced nothing, and looks like it.
        replaced = Region((tokens != right).reshape(seen.shape), rows, image.box)
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
    """RevDet's target: whether the word of each cell was replaced, 0 or 1, (B, h·w, 1).

    tower: on whose grid the words lie.
    """

    def apply(inputs):
        cells = inputs.view.regions["replaced"].cells
        return Features(tokens=cells.reshape(len(cells), -1, 1).astype(jnp.float32)), {}

    what = dict(stop_gradient=True, represents="replaced cells")
    return Encoder("replaced", tower, apply, lambda nodes: 1, **what)
