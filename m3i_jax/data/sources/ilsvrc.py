"""Labels of images that lie in one folder, from the files that ImageNet's releases have for them.

Five kinds are known, each found by its name in the folder, beside it, or where its release has it:

    NAME.JPEG n01440764              val.txt, val_annotations.txt, …: a line for each image
    NAME,n03995372 85 1 499 272      LOC_val_solution.csv: Kaggle's, the class in front of its boxes
    490                              …_validation_ground_truth.txt: line i is image i, and a number
                                     of the development kit, which meta.mat or map_clsloc.txt names
    n01751748                        …_synset_labels.txt: line i is image i
    <name>n01751748</name>           Annotations/CLS-LOC/val/NAME.xml
"""

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources.folder_names import split_of

MAX_BYTES = 256 * 2**20  # of a text that is read: lines for some millions of images
NUMBERED = re.compile(r".*_(\d{8})")  # ILSVRC2012_val_00000001
SYNSETS = ("synsets.txt", "synset_words.txt", "LOC_synset_mapping.txt")  # line i names class i
_CELL = re.compile(r"[\s,;]+")
_OBJECT = re.compile(rb"<object>.*?<name>\s*([^<\s]+)\s*</name>", re.DOTALL)


class Labels(NamedTuple):
    """Where they are from, and the class of each image, None where nothing is said of it."""

    path: Path
    names: list[str | None]


def find(
    folder: Path, images: Sequence[Path], *, root: Path, classes: Collection[str] = ()
) -> Labels | None:
    """Labels of the images of a flat folder from the first file that has some; None without any.

    root: of the data set, above which no list is looked for.
    classes: names that are known, so that "3" is a class and no number where one is called so.

    Raises:
      ConfigError: a file numbers its classes and nothing beside it names them, calls one image two
        classes, or has a line for each image in an order that is not said.
    """
    for path in _candidates(folder, root, {image.stem for image in images}):
        if path.stat().st_size > MAX_BYTES:
            continue
        text = path.read_text("utf-8-sig", "replace")
        lines = [line.strip() for line in text.rstrip().splitlines()]
        named = _by_name(list(filter(None, lines)), images, classes, path)
        names = named or _by_number(lines, images, classes, path)
        if names:
            return Labels(path, _named(names, path, classes))
    return _annotated(folder, images)


def _candidates(folder: Path, root: Path, stems: Collection[str]) -> list[Path]:
    """Files that may label the images of `folder`, the likeliest first; none is an image's text."""
    above, name = list(folder.parents), folder.name
    if name in ("images", "imgs") and above:
        name = above[0].name
    patterns = (
        "LOC_val_solution.csv",
        *(f"{name}{end}" for end in (".txt", ".csv", "_labels.txt", "_labels.csv")),
        f"{name}_annotations.txt",
        "labels.txt",
        "labels.csv",
        "*_validation_synset_labels.txt",
        "*_validation_ground_truth.txt",
    )
    near = [folder, *(p for p in above[:2] if p == root or root in p.parents)]
    kits = [kit / "data" for place in near for kit in sorted(place.glob("*devkit*"))]
    # ILSVRC/Data/CLS-LOC/val is four folders below the tables of Kaggle's archive.
    kaggle = above[2:4] if "CLS-LOC" in folder.parts else []
    places = (*near, *kits, *kaggle)
    found = (p for place in places for pattern in patterns for p in sorted(place.glob(pattern)))
    return [p for p in dict.fromkeys(found) if p.is_file() and p.stem not in stems]


def _by_name(
    lines: Sequence[str], images: Sequence[Path], classes: Collection[str], path: Path
) -> list[str | None] | None:
    """From lines of an image's name and its class; None where no line is of one of the images."""
    rows = [cells for line in lines if len(cells := _CELL.split(line, maxsplit=1)) == 2]
    if [cell for _, cell in rows] == [str(i + 1) for i in range(len(rows))]:
        return None  # ImageSets/CLS-LOC/val.txt counts its images
    said: dict[str, list[tuple[str, str]]] = {}
    for name, cell in rows:
        said.setdefault(_stem(name), []).append((name.strip("\"'"), _class(cell, classes)))
    about = {
        image: [row for row in said.get(image.stem, []) if not _of_another_split(row[0], image)]
        for image in images
    }
    # A list of all splits has a "0.png" in each: where its folders are ours, others are not meant.
    exact = any(_shared(name, image) > 2 for image, found in about.items() for name, _ in found)
    names = [_said(found, image, path, exact=exact) for image, found in about.items()]
    return names if any(names) else None


def _said(rows: Sequence[tuple[str, str]], image: Path, path: Path, *, exact: bool) -> str | None:
    """The class of the line that names most of an image's path."""
    if exact:
        rows = [row for row in rows if "/" not in row[0] or _shared(row[0], image) > 2]
    most = max((_shared(name, image) for name, _ in rows), default=0)
    found = sorted({name for where, name in rows if _shared(where, image) == most})
    if len(found) > 1:
        raise ConfigError(f"'{path}' says of '{image.name}' both '{found[0]}' and '{found[1]}'")
    return found[0] if found else None


def _of_another_split(name: str, image: Path) -> bool:
    """Whether the folders that a line names are a split, and not that of the image."""
    theirs, ours = (
        {kind for folder in folders if (kind := split_of(folder))}
        for folders in (name.split("/")[:-1], image.parts[-4:-1])
    )
    return bool(theirs) and bool(ours) and not theirs & ours


def _shared(name: str, image: Path) -> int:
    """How much of a path a line names: 1 for the stem, 2 with the suffix, 3 and more by folders."""
    theirs, ours = name.split("/")[::-1], image.parts[::-1]
    if theirs[0] != ours[0]:
        return 1
    same = [a == b for a, b in zip(theirs, ours, strict=False)]
    return 1 + (same.index(False) if False in same else len(same))


def _by_number(
    lines: Sequence[str], images: Sequence[Path], classes: Collection[str], path: Path
) -> list[str | None] | None:
    """From lines of a class alone: the images' own numbers choose, or else their order."""
    stems = {image.stem for image in images}
    if any(_CELL.search(line) and line not in classes or _stem(line) in stems for line in lines):
        return None
    numbers = [NUMBERED.fullmatch(image.stem) for image in images]
    if all(numbers):
        places = [int(number[1]) for number in numbers]
        first = min(1, *places)  # ImageNet counts from 1
        if max(places) - first >= len(lines):
            return None  # of other images, or not of all of them
        return [lines[place - first] or None for place in places]
    if len(lines) != len(images) or "" in lines or len(set(lines)) == len(lines) > 1:
        return None  # names of classes, each once, may be as many as there are images
    if sorted(stems, key=_natural) != sorted(stems):
        raise ConfigError(
            f"'{path}' has a class for each image of '{images[0].parent}', but not whether '10' "
            "comes behind '9' or behind '1'; write NAME CLASS in each line"
        )
    return list(lines)


def _natural(stem: str) -> list[tuple[bool, int, str]]:
    """Sorts numbers in names by their size."""
    parts = re.findall(r"\d+|\D+", stem)
    return [(not p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in parts]


def _class(cell: str, classes: Collection[str]) -> str:
    """A class, which may have spaces in its name, or what stands in front of boxes and the like."""
    whole = cell.strip("\"' ")
    field = re.split(r"[,;\t]", whole)[0].strip("\"' ")
    words = field.split()
    runs = [whole, field, *(" ".join(words[:n]) for n in range(len(words) - 1, 0, -1))]
    known = next((run for run in runs if run in classes), None)
    counted = all(re.fullmatch(r"[-\d.]+", word) for word in words[1:])
    return known or (words[0] if words and counted else field)


def _stem(name: str) -> str:
    """`val/NAME.JPEG` -> NAME."""
    name = name.strip("\"'").rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _annotated(folder: Path, images: Sequence[Path]) -> Labels | None:
    """The first object of each image's annotation, where the archive has them."""
    if folder.parent.name != "CLS-LOC":
        return None
    place = folder.parents[2] / "Annotations" / "CLS-LOC" / folder.name
    if not place.is_dir():
        return None
    files = [place / f"{image.stem}.xml" for image in images]
    found = [_OBJECT.search(f.read_bytes()) if f.is_file() else None for f in files]
    names = [one and one[1].decode("utf-8", "replace") for one in found]
    return Labels(place, names) if any(names) else None


def _named(names: list[str | None], path: Path, classes: Collection[str]) -> list[str | None]:
    """Names of classes for what a file says, which may be their numbers."""
    said = {name for name in names if name is not None}
    if said <= set(classes) or not all(name.isdecimal() for name in said):
        return names
    words = _numbers(path)
    if words is None:
        raise ConfigError(
            f"'{path}' numbers its classes, and nothing beside it names them; a ground truth needs "
            f"meta.mat or map_clsloc.txt of its development kit, other lists {SYNSETS[0]}, the "
            "first line of which names class 0"
        )
    if unknown := sorted(said - words.keys(), key=int):
        raise ConfigError(f"'{path}' has a class {unknown[0]}, which nothing beside it names")
    return [None if name is None else words[name] for name in names]


def _numbers(path: Path) -> dict[str, str] | None:
    """Number -> class, as what lies beside a file of labels has it."""
    if "ground_truth" in path.name:  # numbers of the kit, which are in no alphabetical order
        kit, table = path.with_name("meta.mat"), path.with_name("map_clsloc.txt")
        if kit.is_file():
            return _of_kit(kit)
        rows = [line.split() for line in table.open()] if table.is_file() else []
        return {row[1]: row[0] for row in rows if len(row) > 1} or None
    for there in filter(Path.is_file, (path.with_name(name) for name in SYNSETS)):
        rows = [cells[0] for line in there.open() if (cells := _CELL.split(line.strip()))[0]]
        return {str(i): name for i, name in enumerate(rows)}
    return None


def _of_kit(path: Path) -> dict[str, str]:
    """ILSVRC2012_ID -> WNID of the synsets without children, of a development kit's meta.mat."""
    import scipy.io

    try:
        synsets = scipy.io.loadmat(path, squeeze_me=True)["synsets"]
        columns = (
            np.atleast_1d(synsets[field]) for field in ("ILSVRC2012_ID", "WNID", "num_children")
        )
        rows = list(zip(*columns, strict=True))
        return {str(int(number)): str(name) for number, name, below in rows if int(below) == 0}
    except Exception as error:  # scipy raises many kinds for files that are something else
        raise ConfigError(f"'{path}' is not a development kit's meta.mat: {error}") from error
