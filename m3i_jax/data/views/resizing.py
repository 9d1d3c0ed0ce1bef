"""How a part of an image becomes a view of another size: Pillow, or what is faster.

`exact` is Pillow, whose filters widen where they shrink (antialiasing), as torchvision resizes.
`fast` is the same filters by cykooz-resizer: equal to a grey level but where a filter overshoots at
an edge. `aliased` is OpenCV, whose filters do not widen: other pictures, whose edges have steps.
"""

import functools
import importlib
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image

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

    def cut(self, box: Box, size: int, interpolation: str) -> np.ndarray:
        """A part as (size, size, 3) uint8, of its own pixels alone."""


class Exact:
    """By Pillow."""

    def __init__(self, image: np.ndarray):
        """image: (H, W, 3) uint8."""
        self.height, self.width = image.shape[:2]
        self._image = Image.fromarray(image)

    def cut(self, box: Box, size: int, interpolation: str) -> np.ndarray:
        """See `Cuttable`."""
        # Cut first: `resize(box=...)` would let the filter see beyond the edges of the crop.
        part = self._image.crop(box)
        return np.asarray(part.resize((size, size), INTERPOLATIONS[interpolation]))


class Fast:
    """By cykooz-resizer, whose filters are vectorised.

    Vertical pass first, where Pillow has the horizontal one, each rounded and clipped.
    """

    def __init__(self, image: np.ndarray):
        """image: (H, W, 3) uint8."""
        self.height, self.width = image.shape[:2]
        self._image = image

    def cut(self, box: Box, size: int, interpolation: str) -> np.ndarray:
        """See `Cuttable`."""
        library, options = _fast(interpolation)
        part = self._image[box.top : box.bottom, box.left : box.right]
        whole = (part.shape[1], part.shape[0], library.PixelType.U8x3, part.tobytes())
        view = library.ImageData(size, size, library.PixelType.U8x3)
        # A resizer of its own for each call: it keeps buffers, and threads share nothing.
        library.Resizer().resize(library.ImageData(*whole), view, options)
        return np.frombuffer(view.get_buffer(), np.uint8).reshape(size, size, 3)


class Aliased:
    """By OpenCV: 2 x 2 or 4 x 4 pixels of the image for each of the view."""

    def __init__(self, image: np.ndarray):
        """image: (H, W, 3) uint8."""
        self.height, self.width = image.shape[:2]
        self._image = image

    def cut(self, box: Box, size: int, interpolation: str) -> np.ndarray:
        """See `Cuttable`."""
        library = _aliased()
        how = {"bicubic": library.INTER_CUBIC, "bilinear": library.INTER_LINEAR}[interpolation]
        part = self._image[box.top : box.bottom, box.left : box.right]
        return library.resize(part, (size, size), interpolation=how)


RESIZES = {"exact": Exact, "fast": Fast, "aliased": Aliased}
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
