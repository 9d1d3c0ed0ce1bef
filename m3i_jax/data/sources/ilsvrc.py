"""Labels of images that lie in one folder, from the files that ImageNet's releases have for them.

Five kinds are known, each found by its name in the folder, beside it, or where its release has it:

    NAME.JPEG n01440764              val.txt, val_annotations.txt, labels.csv, …: a line for each
                                     image, in the columns that `label_lists` tells apart
    NAME,n03995372 85 1 499 272      LOC_val_solution.csv: Kaggle's, the class in front of its boxes
    490                              …_validation_ground_truth.txt: line i is image i, and a number
                                     of the development kit, which meta.mat or map_clsloc.txt names
    n01751748                        …_synset_labels.txt: line i is image i
    <name>n01751748</name>           Annotations/CLS-LOC/val/NAME.xml

Names are compared in Unicode's NFC, whichever form the disk or a list has.
"""

import fnmatch
import glob
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import label_lists, texts
from m3i_jax.data.sources.folder_names import same
from m3i_jax.data.sources.split_words import split_of

MAX_BYTES = 256 * 2**20  # of a text that is read: lines for some millions of images
NUMBERED = re.compile(r".*_(\d{8})")  # ILSVRC2012_val_00000001
SYNSETS = ("synsets.txt", "synset_words.txt", "LOC_synset_mapping.txt")  # line i names class i
LISTS = (".txt", ".csv", ".tsv")
FLAGS = frozenset({"1", "0", "-1"})  # Pascal VOC's: has the class, is difficult, has it not
_CELL = re.compile(r"[\s,;]+")
_NUMBER = re.compile(r"[-\d.]+")
_WNID = re.compile(r"n\d{8}")
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
    named = {same(image.stem): image for image in images}
    known = {same(name): name for name in classes}
    for path in candidates(folder, root, named):
        if path.stat().st_size > MAX_BYTES:
            continue
        text = same(texts.read(path))
        names = _by_name(text, images, known, path) or _by_number(text, images, known, path)
        if names:
            return Labels(path, _named(names, path, known))
    return _annotated(folder, images)


def candidates(folder: Path, root: Path, stems: Collection[str]) -> list[Path]:
    """Files that may label the images of `folder`, the likeliest first; none is an image's text."""
    above, name = list(folder.parents), folder.name
    if name in ("images", "imgs") and above:
        name = above[0].name
    name = glob.escape(name)
    patterns = (
        "LOC_val_solution.csv",
        *(f"{name}{end}{suffix}" for end in ("", "_labels") for suffix in LISTS),
        f"{name}_annotations.txt",
        *(f"labels{suffix}" for suffix in LISTS),
        "*_validation_synset_labels.txt",
        "*_validation_ground_truth.txt",
    )
    near = [folder, *(p for p in above[:2] if p == root or root in p.parents)]
    kits = [kit / "data" for place in near for kit in sorted(place.glob("*devkit*"))]
    # ILSVRC/Data/CLS-LOC/val is four folders below the tables of Kaggle's archive.
    kaggle = above[2:4] if "CLS-LOC" in folder.parts else []
    lists = (p for place in (*near, *kits, *kaggle) for p in _matching(place, patterns))
    return [p for p in dict.fromkeys(lists) if p.is_file() and same(p.stem) not in stems]


def _matching(place: Path, patterns: Sequence[str]) -> list[Path]:
    """Lists in a folder whose names match, by pattern; neither case nor accents' form counts."""
    if not place.is_dir():
        return []
    lists = sorted(e.name for e in place.iterdir() if os.path.splitext(e.name)[1].lower() in LISTS)
    folded = {name: same(name).casefold() for name in lists}
    wanted = [same(pattern).casefold() for pattern in patterns]
    return [place / n for w in wanted for n in lists if fnmatch.fnmatchcase(folded[n], w)]


def _by_name(
    text: str, images: Sequence[Path], known: Mapping[str, str], path: Path
) -> list[str | None] | None:
    """From lines of an image's name and its class; None where no line is of one of the images."""
    stems = {same(image.stem) for image in images}
    rows = label_lists.pairs(text, stems, path, meant=lambda cell: _meant(cell, known))
    counters = [str(i + 1) for i in range(len(rows))]
    if [cell for _, cell in rows] == counters and not known.keys() >= set(counters):
        return None  # ImageSets/CLS-LOC/val.txt counts its images
    said: dict[str, list[tuple[str, str]]] = {}
    for name, cell in rows:
        said.setdefault(label_lists.stem(name, stems), []).append((name, cell))
    about = {
        image: [row for row in said.get(same(image.stem), []) if not _other_split(row[0], image)]
        for image in images
    }
    # A list of all splits has a "0.png" in each: where its folders are ours, others are not meant.
    exact = any(_shared(name, image) > 2 for image, lines in about.items() for name, _ in lines)
    names = [_said(lines, image, path, exact=exact) for image, lines in about.items()]
    if "-1" in names and FLAGS.issuperset(name for name in names if name) and "-1" not in known:
        raise ConfigError(
            f"'{path}' says of each image whether it has a class (1 or -1), and not which; "
            "expected are lines of NAME CLASS"
        )
    return [name and _class(name, known) for name in names] if any(names) else None


def _said(rows: Sequence[tuple[str, str]], image: Path, path: Path, *, exact: bool) -> str | None:
    """The class of the line that names most of an image's path."""
    if exact:
        rows = [row for row in rows if "/" not in row[0] or _shared(row[0], image) > 2]
    most = max((_shared(name, image) for name, _ in rows), default=0)
    classes = sorted({name for where, name in rows if _shared(where, image) == most})
    if len(classes) > 1:
        raise ConfigError(f"'{path}' says of '{image.name}' both '{classes[0]}' and '{classes[1]}'")
    return classes[0] if classes else None


def _other_split(name: str, image: Path) -> bool:
    """Whether the folders that a line names are a split, and not that of the image."""
    theirs, ours = (
        {kind for folder in folders if (kind := split_of(folder))}
        for folders in (name.split("/")[:-1], image.parts[-4:-1])
    )
    return bool(theirs) and bool(ours) and not theirs & ours


def _shared(name: str, image: Path) -> int:
    """How much of a path a line names: 1 for the stem, 2 with the suffix, 3 and more by folders."""
    theirs, ours = name.split("/")[::-1], [same(part) for part in image.parts[::-1]]
    if theirs[0] != ours[0]:
        return 1
    alike = [a == b for a, b in zip(theirs, ours, strict=False)]
    return 1 + (alike.index(False) if False in alike else len(alike))


def _by_number(
    text: str, images: Sequence[Path], known: Mapping[str, str], path: Path
) -> list[str | None] | None:
    """From lines of a class alone: the images' own numbers choose, or else their order."""
    lines = [line.strip("\"' \t") for line in text.rstrip().splitlines()]
    if len(lines) == len(images) + 1 and lines[0].casefold() in label_lists.CLASSES:
        lines = lines[1:]
    stems = {same(image.stem) for image in images}
    about = (label_lists.stem(line, stems) in stems for line in lines)
    if any(_CELL.search(line) and line not in known for line in lines) or any(about):
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


def _meant(cell: str, known: Mapping[str, str]) -> str | None:
    """The class of training that a cell names, maybe with boxes and the like behind it."""
    whole = cell.strip("\"' ")
    fields = re.split(r"[,;\t]", whole)
    words = fields[0].split()
    runs = [whole, fields[0].strip("\"' ")]
    runs += [" ".join(words[:n]) for n in range(len(words) - 1, 0, -1) if _counted(words[n:])]
    runs += [word for word in words[:1] if _WNID.fullmatch(word)]
    return next((known[run] for run in runs if run in known), None)


def _class(cell: str, known: Mapping[str, str]) -> str:
    """What a cell means, also where training has no such class."""
    words = cell.split()
    lone = words and (_counted(words[1:]) or _WNID.fullmatch(words[0]))
    return _meant(cell, known) or (words[0] if lone else cell).strip("\"' ")


def _counted(words: Sequence[str]) -> bool:
    return all(map(_NUMBER.fullmatch, words))


def _annotated(folder: Path, images: Sequence[Path]) -> Labels | None:
    """The first object of each image's annotation, where the archive has them."""
    if folder.parent.name != "CLS-LOC":
        return None
    place = folder.parents[2] / "Annotations" / "CLS-LOC" / folder.name
    if not place.is_dir():
        return None
    notes = {same(file.stem): file for file in place.glob("*.xml")}
    files = [notes.get(same(image.stem)) for image in images]
    objects = [_OBJECT.search(f.read_bytes()) if f and f.is_file() else None for f in files]
    names = [one and one[1].decode("utf-8", "replace") for one in objects]
    return Labels(place, names) if any(names) else None


def _named(names: list[str | None], path: Path, known: Mapping[str, str]) -> list[str | None]:
    """Names of classes for what a file says, which may be their numbers."""
    said = {name for name in names if name is not None}
    if said <= set(known.values()) or not all(name.isdecimal() for name in said):
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
        rows = [line.split() for line in texts.read(table).splitlines()] if table.is_file() else []
        return {row[1]: row[0] for row in rows if len(row) > 1} or None
    for there in (p for name in SYNSETS if (p := path.with_name(name)).is_file()):
        lines = map(str.strip, texts.read(there).splitlines())
        rows = [cells[0] for line in lines if (cells := _CELL.split(line))[0]]
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
