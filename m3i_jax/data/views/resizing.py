"""How a part of an image becomes a view of another size: Pillow, or what is faster.

`exact` is Pillow, whose filters widen where they shrink (antialiasing), as torchvision resizes.
`fast` is the same filters by cykooz-resizer: equal to a grey level but where a filter overshoots at
an edge. `aliased` is OpenCV, whose filters do not widen: other pictures, whose edges have steps.
`device` resizes nothing here: the part itself goes to the step, which does (`augment.resize`).
"""

import functools
import importlib
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

from m3i_jax.augment.resize import CANVAS
from m3i_jax.build import ConfigError

EXTRA = "m3i_jax[fast]"  # installs what is missing
INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,  # a = -0.5
    "bilinear": Image.Resampling.BILINEAR,
}


class Box(NamedTuple):
    """A part of an image: its first row and column, and those behind the last ones."""

    left: int
    top: int
    right: int
    bottom: int


class Cuttable(Protocol):
    """An image of which several parts are cut, opened once for all of them."""

    height: int
    width: int

    def cut(self, box: Box, size: int, interpolation: str, *, mirrored: bool) -> np.ndarray:
        """A part, or its mirror image, as (size, size, 3) uint8, of its own pixels alone."""


class Exact:
    """By Pillow."""

    def __init__(self, image: np.ndarray):
        """image: (H, W, 3) uint8."""
        self.height, self.width = image.shape[:2]
        self._image = Image.fromarray(image)

    def cut(self, box: Box, size: int, interpolation: str, *, mirrored: bool) -> np.ndarray:
        """See `Cuttable`."""
        # Cut first: `resize(box=...)` would let the filter see beyond the edges of the crop.
        part = self._image.crop(box)
        view = np.asarray(part.resize((size, size), INTERPOLATIONS[interpolation]))
        return _turned(view, mirrored)


class Fast:
    """By cykooz-resizer, whose filters are vectorised.

    Vertical pass first, where Pillow has the horizontal one, each rounded and clipped.
    """

    def __init__(self, image: np.ndarray):
        """image: (H, W, 3) uint8."""
        self.height, self.width = image.shape[:2]
        self._image = image

    def cut(self, box: Box, size: int, interpolation: str, *, mirrored: bool) -> np.ndarray:
        """See `Cuttable`."""
        library, options = _fast(interpolation)
        part = self._image[box.top : box.bottom, box.left : box.right]
        whole = (part.shape[1], part.shape[0], library.PixelType.U8x3, part.tobytes())
        view = library.ImageData(size, size, library.PixelType.U8x3)
        # A resizer of its own for each call: it keeps buffers, and threads share nothing.
        library.Resizer().resize(library.ImageData(*whole), view, options)
        levels = np.frombuffer(view.get_buffer(), np.uint8)
        return _turned(levels.reshape(size, size, 3), mirrored)


class Aliased:
    """By OpenCV: 2 x 2 or 4 x 4 pixels of the image for each of the view."""

    def __init__(self, image: np.ndarray):
        """image: (H, W, 3) uint8."""
        self.height, self.width = image.shape[:2]
        self._image = image

    def cut(self, box: Box, size: int, interpolation: str, *, mirrored: bool) -> np.ndarray:
        """See `Cuttable`."""
        library = _aliased()
        how = {"bicubic": library.INTER_CUBIC, "bilinear": library.INTER_LINEAR}[interpolation]
        part = self._image[box.top : box.bottom, box.left : box.right]
        return _turned(library.resize(part, (size, size), interpolation=how), mirrored)


class Device:
    """By the step: the part as it is, in the upper left of a canvas twice as large as its view."""

    def __init__(self, image: np.ndarray):
        """image: (H, W, 3) uint8."""
        self.height, self.width = image.shape[:2]
        self._image = image

    def cut(self, box: Box, size: int, interpolation: str, *, mirrored: bool) -> np.ndarray:
        """(2 size, 2 size, 3): a side of the part that is longer is reduced to that, by Pillow."""
        side = CANVAS * size
        part = self._image[box.top : box.bottom, box.left : box.right]
        height, width = (min(length, side) for length in part.shape[:2])
        if part.shape[:2] != (height, width):
            whole = Image.fromarray(np.ascontiguousarray(part))
            part = np.asarray(whole.resize((width, height), INTERPOLATIONS[interpolation]))
        canvas = np.zeros((side, side, 3), np.uint8)
        canvas[:height, :width] = _turned(part, mirrored)
        return canvas


def _turned(view: np.ndarray, mirrored: bool) -> np.ndarray:
    # The small view's mirror image is that of the large image before the cut, up to one grey level
    # of rounding, and costs less.
    return view[:, ::-1] if mirrored else view


RESIZES = {"exact": Exact, "fast": Fast, "aliased": Aliased, "device": Device}
NEEDS = {"fast": ("cykooz_resizer", "cykooz-resizer"), "aliased": ("cv2", "opencv-python-headless")}


def require(module: str, package: str, what: str) -> Any:
    """A library that an option needs.

    Raises:
      ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{what} needs {package}, which is not installed: pip install '{EXTRA}'"
        ) from error


@functools.cache
def _fast(interpolation: str) -> tuple[Any, Any]:
    """The library, and its options for a filter; Catmull and Rom's is the cubic of a = -0.5."""
    library = require(*NEEDS["fast"], "crops.resize='fast'")
    kind = {"bicubic": "catmull_rom", "bilinear": "bilinear"}[interpolation]
    algorithm = library.ResizeAlg.convolution(library.FilterType[kind])
    return library, library.ResizeOptions(resize_alg=algorithm, use_alpha=False)


@functools.cache
def _aliased() -> Any:
    """OpenCV, kept to the thread that calls it: there is one for each core already."""
    library = require(*NEEDS["aliased"], "crops.resize='aliased'")
    library.setNumThreads(1)
    return library
