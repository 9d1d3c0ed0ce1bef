"""Images that a program holds: arrays, Pillow's, or paths of files."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from m3i_jax import ordinary
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.decoding import bounded, decode_image, pixels, unreadable
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.types import Array

CHANNELS = (1, 3, 4)  # grey, red green blue, and with alpha, which is dropped
Picture = Array | Image.Image | str | os.PathLike


def in_memory(images: Picture | Iterable[Picture]) -> "InMemory":
    """A source of one image or several, each of its own size.

    images: arrays of uint8, or of floats from 0 to 1, which are rounded to that: (H, W), (H, W, C)
      or a stack (N, H, W, C), C = 1, 3 or 4; images of Pillow's; paths; or a list of any of these.

    Raises:
      ConfigError: something else, by its type and shape; a folder.
    """
    if isinstance(images, str | os.PathLike | Image.Image):
        return InMemory([images])
    if hasattr(images, "shape"):  # of NumPy, JAX, PyTorch
        return InMemory(_stack(images))
    if not isinstance(images, Iterable) or isinstance(images, bytes | dict):
        raise ConfigError(f"images are a {type(images).__name__}; expected {EXPECTED}")
    return InMemory([part for image in images for part in _one(image)])


EXPECTED = "arrays (H, W, 3) or (N, H, W, 3), images of Pillow's, paths of files, or a list of them"


def _one(image: Any) -> Sequence[Picture]:
    """An image of a list."""
    if hasattr(image, "shape") and not isinstance(image, Image.Image):
        if len(stack := _stack(image)) != 1:
            raise ConfigError(f"a list has an array of {len(stack)} images; give that alone")
        return stack
    if not isinstance(image, str | os.PathLike | Image.Image):
        raise ConfigError(f"images have a {type(image).__name__} among them; expected {EXPECTED}")
    return [image]


def _stack(array: Any) -> Array:
    """(N, H, W, C) of an array of one image or of several."""
    array, shape = np.asarray(array), tuple(array.shape)
    if array.ndim == 2:
        return array[None, ..., None]
    if array.ndim in (3, 4) and shape[-1] in CHANNELS and min(shape[-3:]) > 0:
        return array[None] if array.ndim == 3 else array
    first = array.ndim in (3, 4) and shape[-3] in CHANNELS
    turned = "(1, 2, 0)" if array.ndim == 3 else "(0, 2, 3, 1)"
    hint = f"; channels are last: images.transpose{turned}" if first else ""
    raise ConfigError(
        f"images have shape {shape}, expected (H, W), (H, W, C) or (N, H, W, C) with 1, 3 or 4 "
        f"channels C{hint}"
    )


class InMemory:
    """A source; see `in_memory`. Files are read when they are asked for."""

    name = "in_memory"
    classes: tuple[str, ...] = ()

    def __init__(self, images: Sequence[Picture]):
        """Of images one by one, arrays as (H, W, C)."""
        self._images = images

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        """An image without a label.

        Raises:
          ConfigError: it cannot be read, or has other numbers than those of images.
        """
        image = self._images[index]
        if isinstance(image, Image.Image):
            return Sample(pixels(image))
        if isinstance(image, str | os.PathLike):
            return Sample(_read(Path(image)))
        return Sample(_coloured(_levels(np.asarray(image), self.where(index))))

    def captions(self) -> Iterator[str]:
        """None has any."""
        return ("" for _ in range(len(self)))

    def where(self, index: int) -> str:
        """The path of a file, or the number of an image."""
        image = self._images[index]
        return str(image) if isinstance(image, str | os.PathLike) else f"image {index}"


def _read(path: Path) -> np.ndarray:
    if path.is_dir():
        raise ConfigError(f"'{path}' is a folder, expected a file of an image; embed takes folders")
    try:
        with open(ordinary.opened(path, os.O_RDONLY), "rb") as file:
            bounded(os.fstat(file.fileno()).st_size)
            return decode_image(file.read())
    except MemoryError:
        raise
    except Exception as error:  # whatever a disk or a decoder raises
        raise ConfigError(str(unreadable(str(path), error))) from error


def _levels(image: np.ndarray, where: str) -> np.ndarray:
    """uint8 of uint8, or of floats from 0 to 1."""
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise ConfigError(f"{where} is of {image.dtype}, expected uint8, or floats from 0 to 1")
    low, high = image.min(), image.max()
    if not (0 <= low and high <= 1):  # also refuses NaN
        hint = "; normalisation is done inside" if low < 0 else "; divide by 255"
        raise ConfigError(
            f"{where} has floats from {low:g} to {high:g}, expected 0 to 1, or uint8"
            f"{hint if np.isfinite([low, high]).all() else ''}"
        )
    return np.rint(255 * image.astype(np.float32)).astype(np.uint8)


def _coloured(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) of (H, W, C): grey three times, or without alpha."""
    colours = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]
    return np.ascontiguousarray(colours)
