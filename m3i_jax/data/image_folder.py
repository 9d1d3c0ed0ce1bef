"""Any folder of images: with a subfolder per class, or flat and unlabelled.

Nothing about a file is believed but its content: the decoder reads the format, the size and the
colour mode from the header, and refuses what is not an image, or too large, before it allocates.
"""

import functools
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.samples import Sample

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
MAX_PIXELS = 64_000_000
MAX_SIDE = 65_500  # the largest JPEG; longer ones are attacks
MAX_BYTES = 256 * 2**20
MAX_CAPTION = 4096  # bytes of a caption file that are read

SPLITS = {"train": ("train", "training"), "test": ("test", "val", "valid", "validation")}

Decoder = Callable[[bytes], np.ndarray]


def image_folder(
    root: str,
    *,
    split: str | None = None,
    captions: bool = True,
    orientation: bool = False,
    max_pixels: int = MAX_PIXELS,
    decode: Decoder | None = None,
) -> "ImageFolder":
    """Images below a folder, sorted by path.

    `root/CLASS/**/NAME.jpg` gives labelled images, the classes in alphabetical order;
    `root/NAME.jpg` unlabelled ones. Regular files with an image suffix are taken, also through
    links; hidden names and everything else is left alone.

    Args:
      root: the folder.
      split: "train" takes `root/train`, "test" takes `root/test` or `root/val`. Where `root` has
        no such folders it is the training split itself.
      captions: reads the captions of NAME.jpg from NAME.txt beside it, if that exists, one a line.
      orientation: turns photographs upright by their EXIF tag. Off, as in the reference pipelines.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decode_image`.

    Raises:
      ConfigError: the folder is missing or holds no images; the message says what was looked for.
    """
    folder = _split_folder(Path(root).expanduser(), split)
    decode = decode or functools.partial(
        decode_image, orientation=orientation, max_pixels=max_pixels
    )
    return ImageFolder(folder, captions=captions, decode=decode)


class ImageFolder:
    """A source of image files; see `image_folder`. Reading opens one file and keeps nothing."""

    name = "image_folder"

    def __init__(self, folder: Path, *, captions: bool, decode: Decoder):
        """Lists `folder` once; files that appear later are not seen."""
        flat = _images(folder, deep=False)
        named = {d.name: _images(d, deep=True) for d in _subfolders(folder)}
        named = {name: files for name, files in named.items() if files}
        if flat and named:
            raise ConfigError(
                f"'{folder}' holds both images ({flat[0].name}) and folders of images "
                f"({next(iter(named))}); put all images into one folder per class, or none"
            )
        if not flat and not named:
            raise ConfigError(
                f"no images in '{folder}': looked for {', '.join(sorted(SUFFIXES))} files in it "
                "and in its subfolders (one per class)"
            )
        self.folder, self.classes = folder, tuple(named)
        self._files = flat + [file for files in named.values() for file in files]
        counts = [len(files) for files in named.values()] or [len(flat)]
        self._labels = np.repeat(np.arange(len(named)) if named else [-1], counts)
        self._captions, self._decode = captions, decode

    def __len__(self) -> int:
        """Number of image files."""
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        """Reads and decodes one file.

        Raises:
          ValueError: naming the file and what is wrong with it, whatever the decoder raised.
        """
        file = self._files[index]
        try:
            size = file.stat().st_size
            if size > MAX_BYTES:
                raise ValueError(f"{size} bytes, more than {MAX_BYTES}")
            image = self._decode(file.read_bytes())
        except MemoryError:
            raise
        except Exception as error:  # Pillow alone raises six kinds for broken files
            raise ValueError(f"cannot read '{file}': {type(error).__name__}: {error}") from error
        return Sample(image, int(self._labels[index]), self._caption(file))

    def captions(self) -> Iterator[str]:
        """All captions in order; no image is opened."""
        return (self._caption(file) for file in self._files)

    def fingerprint(self) -> str:
        """Digest of the relative paths and sizes of all files and their captions, in order."""
        digest = hashlib.sha256(f"captions {self._captions}".encode())
        for file in self._files:
            line = f"{file.relative_to(self.folder).as_posix()}\0{file.stat().st_size}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
            text = file.with_suffix(".txt")
            if self._captions and text.is_file():
                digest.update(f"caption {text.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]

    def where(self, index: int) -> str:
        """The path of a record."""
        return str(self._files[index])

    def _caption(self, file: Path) -> str:
        """The lines of NAME.txt that have words, one caption each; "" where there is none."""
        text = file.with_suffix(".txt")
        if not self._captions or not text.is_file():
            return ""
        with text.open("rb") as stream:
            lines = stream.read(MAX_CAPTION).decode("utf-8", "replace").splitlines()
        return "\n".join(words for line in lines if (words := " ".join(line.split())))


def decode_image(
    data: bytes, *, orientation: bool = False, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes JPEG, PNG, WebP, GIF (first frame) or BMP bytes to (H, W, 3) uint8.

    Grey, palette and CMYK images become RGB, 16-bit ones keep their upper byte, alpha is dropped:
    what torchvision's loader does, but for 16 bits, which that clips to white.

    Raises:
      ValueError, OSError, SyntaxError: not an image of these formats, broken, or too large.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:  # reads the header only
        width, height = image.size
        if width * height > max_pixels or max(width, height) > MAX_SIDE:
            raise ValueError(f"{width} x {height} pixels, more than {max_pixels} or {MAX_SIDE}")
        image.load()
        if orientation:
            image = ImageOps.exif_transpose(image)
        if image.mode == "I" or image.mode.startswith("I;16"):
            grey = (np.asarray(image).astype(np.int32) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.asarray(image.convert("RGB"))


def _split_folder(root: Path, split: str | None) -> Path:
    """The folder of `split` below `root`, or `root` itself; see `image_folder`."""
    if not root.is_dir():
        beside = [d.name for d in _subfolders(root.parent)] if root.parent.is_dir() else []
        raise ConfigError(f"there is no folder '{root}'{nearest(root.name, beside)}")
    if split is None:
        return root
    if split not in SPLITS:
        raise ConfigError(f"split is '{split}'{nearest(split, SPLITS)}")
    found = {d.name for d in _subfolders(root)}
    for name in SPLITS[split]:
        if name in found:
            return root / name
    if split == "train" and not found.intersection(sum(SPLITS.values(), ())):
        return root
    raise ConfigError(f"'{root}' has no {split} split: looked for {', '.join(SPLITS[split])} in it")


def _subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` whose names are not hidden, sorted by name."""
    return sorted(d for d in folder.iterdir() if d.is_dir() and not d.name.startswith("."))


def _images(folder: Path, *, deep: bool) -> list[Path]:
    """Regular image files in `folder`, and below it if `deep`, sorted by path."""
    found = []
    for parent, folders, files in os.walk(folder):  # does not follow links to folders below
        folders[:] = [name for name in folders if deep and not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(file for file in found if file.is_file())
