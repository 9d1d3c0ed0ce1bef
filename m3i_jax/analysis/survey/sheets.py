"""Pictures of a data set: a contact sheet, and what crops and augmentation make of images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from PIL import Image

from m3i_jax import pictures
from m3i_jax.analysis.report.markup import clean
from m3i_jax.analysis.survey.outlines import outlined
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.sources.subset import covering
from m3i_jax.data.views.crops import Crops
from m3i_jax.training.step import views
from m3i_jax.types import Batch

COUNT, COLUMNS, ROWS = 48, 8, 6
SIDE = 112  # pixels of a tile
TRIED = 64  # records in which `ROWS` readable ones are looked for
BROKEN = "cannot be read"

Augment = Mapping[str, Callable[[Any, Any], Any]]


def contact_sheet(source: Source, *, count: int = COUNT) -> np.ndarray:
    """Images of all classes, as far as there is room, each with its class; in order of these."""
    chosen = covering(source, count)
    tiles = [_tile(chosen, index) for index in range(len(chosen))]
    tiles.sort(key=lambda tile: tile[0])
    images, names = [image for *_, image in tiles], [name for _, name, _ in tiles]
    return pictures.grid(images, columns=COLUMNS, captions=names, height=SIDE)


def _tile(source: Source, index: int) -> tuple[int, str, np.ndarray]:
    """(label, its name, the image in a square) of a record."""
    sample = read(source, index)
    if sample is None:
        return len(source.classes), BROKEN, np.full((SIDE, SIDE, 3), pictures.HIDDEN, np.uint8)
    label = int(sample.label)
    return label, clean(source.classes[label] if label >= 0 else "–"), squared(sample.image)


def augmented(
    source: Source, crops: Crops, augment: Augment, *, seed: int, rows: int = ROWS
) -> np.ndarray | None:
    """The first images: where they are cut, the views of the host, and those of the device.

    None where none of the first ones can be read.
    """
    tried = (read(source, index) for index in range(min(len(source), TRIED)))
    samples = [sample for sample in tried if sample is not None][:rows]
    if not samples:
        return None
    crops = replace(crops, resize="exact") if crops.resize == "device" else crops
    cut = [crops(sample, np.random.default_rng((seed, n))) for n, sample in enumerate(samples)]
    names = [*crops.views, *crops.locals]
    batch = Batch(
        images={name: np.stack([row.images[name] for row in cut]) for name in names},
        boxes={name: np.stack([row.boxes[name] for row in cut]) for name in names},
    )
    shown = jax.device_get(jax.jit(lambda key: _images(key, batch, augment))(jax.random.key(seed)))
    columns: dict[str, Sequence[np.ndarray]] = {
        "image and crops": [_outlined(*pair, names) for pair in zip(samples, cut, strict=True)]
    }
    columns |= {f"view {name}": [squared(x) for x in batch.images[name]] for name in names}
    columns |= {f"{name} augmented": [squared(pictures.unnormalise(x)) for x in shown[name]]
                for name in names if name in augment}  # fmt: skip
    captions = [clean(_said(source, sample)) for sample in samples]
    return pictures.table(columns, captions=captions, height=SIDE)


def _images(key: Any, batch: Batch, augment: Augment) -> dict[str, Any]:
    return {name: view.data for name, view in views(key, batch, augment).items() if view.box}


def _outlined(sample: Sample, cut: Batch, names: Sequence[str]) -> np.ndarray:
    """The image with its crops, in a square."""
    height, width = sample.image.shape[:2]
    tall = max(1, round(SIDE * min(1, height / width)))
    boxes = np.stack([cut.boxes[name] for name in names])
    return squared(outlined(sample.image, boxes, names=names, height=tall))


def squared(image: np.ndarray, *, side: int = SIDE) -> np.ndarray:
    """All of an image in the middle of a white square."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    filter = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC
    canvas = Image.new("RGB", (side, side), pictures.PAPER)
    canvas.paste(
        Image.fromarray(image).resize(size, filter), ((side - size[0]) // 2, (side - size[1]) // 2)
    )
    return np.asarray(canvas)


def _said(source: Source, sample: Sample) -> str:
    """The class and the first caption of a record."""
    name = source.classes[sample.label] if sample.label >= 0 else ""
    return ": ".join(filter(None, (name, *sample.captions[:1])))


def read(source: Source, index: int) -> Sample | None:
    """A record, or None where it cannot be read, which the figures say."""
    try:
        return source[index]
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001, whatever a disk or a decoder raises
        return None
