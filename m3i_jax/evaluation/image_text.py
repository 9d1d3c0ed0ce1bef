"""Images and texts as vectors that are compared, by the towers of a run that was trained to."""

import collections
import functools
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from m3i_jax import normalize, trees
from m3i_jax.data import captions
from m3i_jax.data.captions import Captions
from m3i_jax.data.sources.protocol import listed
from m3i_jax.evaluation import foreign_text, terms
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.progress import counted
from m3i_jax.training.assemble import objective
from m3i_jax.training.inputs import TOKENIZER
from m3i_jax.types import Array

LOG = logging.getLogger(__name__)
BATCH = 256  # texts that are encoded at once


class ImageText(NamedTuple):
    """How a model compares images with texts.

    name: says all that decides the vectors, beside the model.
    image: (parameters, (B, H, W, 3) uint8) -> (B, D), times the scale that the model has learned;
      compiled by whoever calls it.
    text: texts -> (N, D) of length 1.
    tokens: of every text, as the text tower was trained.
    """

    name: str
    image: Callable[[Any, UInt8[Array, "batch height width 3"]], Float[Array, "batch dim"]]
    text: Callable[[Sequence[str]], Float[np.ndarray, "texts dim"]]
    tokens: int


def of(evaluation: Evaluation, *, what: str) -> ImageText:
    """How the model of an evaluation compares images with texts.

    what: that needs it, for sentences, such as "zero-shot classification".

    Raises:
      NotMeasurable: it does not, its branch keeps no text tower, or its tokenizer is gone.
    """
    model, pair, tokenizer = _with_tokenizer(evaluation, what=what)
    width = model.network.nodes[pair.tower].width

    def image(params: Any, images: Array) -> Array:
        # A file's head is not among the parameters of its encoder.
        whole = params if pair.decoder in params.get("decoders", {}) else model.params
        # What is behind a text's width is SigLIP's bias, the same for every pair.
        features = evaluation.encode(params, images)
        return terms.told(model.network, whole, pair, features)[:, :width]

    encode = jax.jit(lambda params, x: model.network.encode(params, pair.tower, x).pooled)
    text = functools.partial(encoded, functools.partial(encode, model.params), tokenizer)
    head = model.params.get("decoders", {}).get(pair.decoder, {})
    name = f"text by {pair.decoder} {_digest(head)}"
    return ImageText(name, image, text, tokenizer.length)


def _with_tokenizer(evaluation: Evaluation, *, what: str) -> tuple[Model, terms.Pair, Captions]:
    """The model with its text tower, what tells its images by texts, and its tokenizer."""
    model = evaluation.model
    if model.branch == "file" and model.config is None:
        whole, tokenizer = foreign_text.with_text(model, what=what)
        return whole, foreign_text.PAIR, tokenizer
    pair = own_pair(evaluation, "text", what=what)
    folder = Path(model.workdir or model.name)  # of an export that is a file, its own
    file = (folder if folder.is_dir() else folder.parent) / TOKENIZER
    if not file.is_file():
        raise NotMeasurable(
            f"{what} needs the tokenizer that the text tower was trained with, and there is no "
            f"'{file}'"
        )
    return model, pair, captions.load(file)


def _digest(params: Any) -> str:
    """Of a head: of two files with one image encoder, each may have its own."""
    sha = hashlib.sha256()
    for path, leaf in trees.named_leaves(params):
        sha.update(path.encode() + np.ascontiguousarray(leaf).tobytes())
    return sha.hexdigest()[:8]


def own_pair(evaluation: Evaluation, view: str, *, what: str) -> terms.Pair:
    """The decoder and the tower by which a run tells images by a "label" or a "text".

    Raises:
      NotMeasurable: there are none, or the branch keeps none of their parameters.
    """
    model = evaluation.model
    lacks = f"{what} needs a model that was trained to predict a {view} from an image, and "
    if model.network is None or model.config is None:
        raise NotMeasurable(f"{lacks}'{model.name}' is no run of ours")
    pair = terms.pair(objective(model.config), view)
    if pair is None:
        method = model.config.objective.get("name")
        raise NotMeasurable(f"{lacks}'{model.name}' has no such term: it is of method '{method}'")
    if missing := terms.lacking(model.network, model.params, pair):
        raise NotMeasurable(
            f"{what} needs the {' and the '.join(missing)} of '{model.name}', which its branch "
            f"'{model.branch}' does not keep; take --branch online"
        )
    return pair


def encoded(
    encode: Callable[[Int[Array, "batch length"]], Float[Array, "batch dim"]],
    tokenizer: Captions,
    sentences: Sequence[str],
) -> Float[np.ndarray, "texts dim"]:
    """Unit vectors of texts: (N, D) float32; texts of equal tokens are encoded once.

    The log says which of their words the tokenizer lacks.

    encode: (B, T) int32 tokens -> (B, D), compiled.
    """
    distinct, place = np.unique(np.asarray(sentences, object), return_inverse=True)
    _say_unknown(tokenizer, distinct)
    tokens = np.stack([tokenizer.encode(text) for text in distinct])
    tokens, read = np.unique(tokens, axis=0, return_inverse=True)
    place = read.reshape(-1)[place]
    rows = min(BATCH, len(tokens))
    filled = np.pad(tokens, ((0, -len(tokens) % rows), (0, 0))).reshape(-1, rows, tokens.shape[1])
    batches = counted(filled, "texts: batch", total=len(filled))
    vectors = np.concatenate([np.asarray(encode(jnp.asarray(batch))) for batch in batches])
    return np.asarray(normalize.unit(vectors[: len(tokens)]))[place]


def _say_unknown(tokenizer: Captions, sentences: Iterable[str]) -> None:
    """Says which words have no token of their own: whatever they are, they read alike."""
    parts = [part for text in sentences for part in tokenizer.parts(text)]
    lacking = collections.Counter(word.lower() for word, known in parts if not known)
    if lacking:
        LOG.warning(
            "%d of %d words of the texts are unknown to the tokenizer and read alike: %s",
            lacking.total(),
            len(parts),
            listed(word for word, _ in lacking.most_common()),
        )
