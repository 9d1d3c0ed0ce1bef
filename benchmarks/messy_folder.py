r"""A folder as people have them: 250 files of ten formats, some of them broken, for docs/start.md.

    python benchmarks/messy_folder.py FOLDER [--archive /usr/share/datasets/fashion-mnist]
    python benchmarks/messy_folder.py FOLDER --classes 10 --each 200 --loose     # 2000 of them

With --loose a garment lies anywhere in its picture, larger or smaller, turned and mirrored, as in
photographs; without, all stand upright in the middle. The pictures are garments of Fashion-MNIST in
five folders, enlarged, tinted and saved in turn as JPEG, CMYK JPEG, turned JPEG, PNG, PNG with
alpha, 16-bit PNG, WebP, GIF, BMP, TIFF and AVIF; beside them lie what cannot be read, what is no
picture, duplicates, and what systems leave behind.
"""

import argparse
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from m3i_jax.data.sources import idx

CLASSES = {
    "trouser": 1, "ankle boot": 9, "bag": 8, "été à la plage": 3, "shirt": 6,
    "t-shirt": 0, "pullover": 2, "coat": 4, "sandal": 5, "sneaker": 7,
}  # fmt: skip
GROUND = 40  # pixels of the side of what a loose garment of 28 lies on
BROKEN = 20


def picture(image: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A garment on its black ground, tinted, 40 to 400 pixels wide."""
    tint = rng.uniform(0.5, 1.0, 3)
    side = int(rng.integers(40, 400))
    tinted = Image.fromarray((image * tint).astype(np.uint8))
    return tinted.resize((side, side + int(rng.integers(-8, 9))), Image.Resampling.BICUBIC)


def loosened(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The garment anywhere on black: turned by 30 degrees at most, .7 to 1.1 as large, mirrored."""
    garment = Image.fromarray(image[:, :: rng.choice([-1, 1])])
    side = round(image.shape[0] * rng.uniform(0.7, 1.1))
    garment = garment.resize((side, side), Image.Resampling.BICUBIC)
    garment = garment.rotate(rng.uniform(-30, 30), Image.Resampling.BICUBIC)
    ground = Image.new("RGB", (GROUND, GROUND))
    ground.paste(garment, tuple(rng.integers(0, GROUND - side + 1, 2).tolist()))
    return np.asarray(ground)


def saved(image: Image.Image, kind: int) -> tuple[str, bytes]:
    """(suffix, bytes) of one of eleven ways to save a picture."""
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    sixteen = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    ways = [
        (".jpg", image, "JPEG", {}),
        (".JPG", image.convert("CMYK"), "JPEG", {}),
        (".jpeg", image.rotate(90, expand=True), "JPEG", {"exif": exif}),
        (".png", image, "PNG", {}),
        (".png", image.convert("RGBA"), "PNG", {}),
        (".png", sixteen, "PNG", {}),
        (".webp", image, "WEBP", {}),
        (".gif", image.convert("P"), "GIF", {}),
        (".bmp", image, "BMP", {}),
        (".tif", image, "TIFF", {}),
        (".avif", image, "AVIF", {}),
    ]
    suffix, image, name, options = ways[kind % len(ways)]
    file = io.BytesIO()
    image.save(file, name, **options)
    return suffix, file.getvalue()


def beside(one: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(path, bytes) of twenty files that are no pictures to learn from."""
    wide = io.BytesIO()
    Image.new("L", (20_000, 4_000)).save(wide, "PNG")
    yield b"bag/panorama.png", wide.getvalue()
    yield b"bag/cut short.jpg", one[: len(one) // 3]
    yield b"shirt/empty.png", b""
    yield b"shirt/a text.jpg", b"this is no picture\n"
    yield b"shirt/caf\xe9 \xff.jpg", one  # a name that is no UTF-8
    for number in range(3):
        yield f"trouser/copy ({number}).jpg".encode(), one
    for name in (b"notes.txt", b"list.xlsx", b"bag/IMG_0001.MOV", b"shirt/raw.cr2"):
        yield name, b"no picture"
    for name in (b".DS_Store", b"bag/._bag.jpg", b"Thumbs.db", b".git/config"):
        yield name, bytes(64)
    yield b"@eaDir/thumb.jpg", one
    yield b"__MACOSX/thumb.jpg", one
    yield b"desktop.ini", b"[.ShellClassInfo]\n"
    yield b"bag/deep/er/still.jpg", one


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--archive", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--classes", type=int, default=5, help="how many, 5 to 10")
    parser.add_argument("--each", type=int, default=46, help="garments of each class")
    parser.add_argument("--loose", action="store_true", help="not upright in the middle")
    said = parser.parse_args()
    source, rng = idx.fashion_mnist("train", root=said.archive), np.random.default_rng(0)
    for name, label in [*CLASSES.items()][: said.classes]:
        place = said.folder / name
        place.mkdir(parents=True)
        for number, index in enumerate(np.flatnonzero(source.labels == label)[: said.each]):
            garment = source[int(index)].image
            garment = loosened(garment, rng) if said.loose else garment
            suffix, data = saved(picture(garment, rng), number)
            (place / f"{name} {number:02d}{suffix}").write_bytes(data)
    first = (said.folder / "trouser" / "trouser 00.jpg").read_bytes()
    for path, data in beside(first):
        path = os.path.join(os.fsencode(said.folder), path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)


if __name__ == "__main__":
    main()
