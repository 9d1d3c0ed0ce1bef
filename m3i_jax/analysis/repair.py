"""Pictures of a run of CIM: what was hidden, what was painted there, and what became of it.

As the paper's Figures 2 to 4, of images that no step has seen.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import normalize, pictures
from m3i_jax.analysis import cim, predictions
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.types import Array, Batch

SAMPLES = 3  # corrupted images of one mask
SPAN = 2.5  # deviations from grey to black and to white, where normalised pixels are shown


class Shown(NamedTuple):
    """What is shown of N images, all normalised as ImageNet's.

    images: (N, H, W, 3).  visible: (N, h, w) bool, cells that the generator saw.
    corrupted: (k, N, H, W, 3), samples under that one mask.
    replaced: (N, h, w) bool, cells of the first sample whose token has changed.
    chance: (N, h, w), that the enhancer gives to it, by RevDet; None for ResPix.
    repaired, blank: (N, H, W, 3), pixels that the enhancer predicts of the first sample, and those
      of a prediction of 0, which owes all it shows to the original's mean; None for RevDet.
    """

    images: Array
    visible: Array
    corrupted: Array
    replaced: Array
    chance: Array | None
    repaired: Array | None
    blank: Array | None


def observe(
    model: cim.CimModel, *, images: int = 6, samples: int = SAMPLES, seed: int = 0
) -> Shown:
    """Corrupts and repairs test images spread evenly over the set."""
    rows = next(cim.batches(model, limit=images, batch=images))
    if not rows.real.any():
        raise NotMeasurable(f"none of the {images} images to show can be read")
    batch = jax.tree.map(lambda column: column[rows.real], rows.batch)
    key = jax.random.key(seed)
    compiled = jax.jit(partial(_observe, model, samples))
    return jax.device_get(compiled(model.trained.params, model.states, batch, key))


def _observe(model, samples: int, params, states, batch: Batch, key: Array) -> Shown:
    method, network = model.method, model.trained.network
    sampling = jax.random.split(key, samples)
    draw = partial(cim.look, model, params, states, batch, key=key)
    seen = [draw(sampling=sampling[i]) for i in range(samples)]
    first = seen[0]
    views = first.prepared.views
    parts = dict(chance=None, repaired=None, blank=None)
    for name in predictions.replaced_terms(method):
        parts["chance"] = jax.nn.sigmoid(predictions.cells(method, network, first, name)[0])
    for name in predictions.pixel_terms(method):
        paint = partial(predictions.pixels, method, network, first.prepared, name)
        tokens = first.predicted[name][0]
        parts |= dict(repaired=paint(tokens), blank=paint(jnp.zeros_like(tokens)))
    return Shown(
        images=views["a"].data,
        visible=first.prepared.visible["guess"],
        corrupted=jnp.stack([s.prepared.views["corrupted"].data for s in seen]),
        replaced=views["corrupted"].regions["replaced"].cells,
        **parts,
    )


def repairs(shown: Shown) -> np.ndarray:
    """One row per image: itself, masked, samples of one mask, the enhancer's answer to the first.

    ResPix: its pixels, and what a prediction of 0 would look like. RevDet: replaced cells, and how
    likely it holds each to be one. Returns (H, W, 3) uint8.
    """
    images = pictures.unnormalise(shown.images)
    samples = [pictures.unnormalise(sample) for sample in shown.corrupted]
    columns = {
        "original": images,
        "generator sees": _each(pictures.overlay, images, shown.visible),
        **{f"sample {i}": sample for i, sample in enumerate(samples, 1)},
    }
    if shown.chance is not None:
        columns["replaced in 1"] = _each(heat, samples[0], shown.replaced)
        columns["found in 1"] = _each(heat, samples[0], shown.chance)
    if shown.repaired is not None:
        columns["repaired 1"] = pictures.unnormalise(shown.repaired)
        columns["predicting 0"] = pictures.unnormalise(shown.blank)
    return pictures.table(columns)


def templates(images: Array, patch: int) -> np.ndarray:
    """Images (N, H, W, 3), and what ResPix is told and asked of them by patches and by windows.

    The means are the template (Figure 4): what a target of normalised pixels gives away, where one
    of plain pixels gives nothing. In the targets grey is that mean, black and white lie `SPAN`
    deviations from it. Returns (H, W, 3) uint8.
    """
    image = lambda x: pictures.unnormalise(np.broadcast_to(x, images.shape))  # noqa: E731
    shade = lambda x: pictures.as_uint8(0.5 + np.asarray(x) / (2 * SPAN))  # noqa: E731
    columns = {
        "original": image(images),
        "patch means": image(normalize.patch_statistics(images, patch)[0]),
        "patch targets": shade(normalize.patches(images, patch)),
        "window means": image(normalize.window_statistics(images)[0]),
        "window targets": shade(normalize.sliding_window(images)),
    }
    return pictures.table(columns)


def heat(image: Array, share: Array, *, trace: float = 0.3) -> np.ndarray:
    """Cells coloured by their shares, from white to the mark, over a trace of grey.

    (H, W, 3), (h, w) in [0, 1] -> (H, W, 3) uint8; trace: share of the image.
    """
    image, share = pictures.as_uint8(image), np.asarray(share, np.float32)
    grey = image.astype(np.float32).mean(-1, keepdims=True)
    cell = [pixels // cells for pixels, cells in zip(image.shape[:2], share.shape, strict=True)]
    share = np.kron(share, np.ones(cell, np.float32))[..., None]
    colour = (1 - share) * np.float32(pictures.PAPER) + share * np.float32(pictures.MARK)
    return pictures.as_uint8((trace * grey + (1 - trace) * colour) / 255)


def _each(draw, *columns: Sequence[Array]) -> list[np.ndarray]:
    """draw(...) of every row."""
    return [draw(*row) for row in zip(*columns, strict=True)]
