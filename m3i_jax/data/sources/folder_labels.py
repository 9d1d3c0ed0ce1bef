"""The images of one split of a folder, and the class that each is of, by name."""

import collections
import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import folder_names, ilsvrc, metadata, overlap
from m3i_jax.data.sources.folder_tree import SUFFIXES, Tree, below, filled, has_images, tree
from m3i_jax.data.sources.protocol import Account, NoSplit, listed


class Labelled(NamedTuple):
    """A split: its folder, its files, (N,) labels (-1 = none), what they are numbers of.

    texts: the file of an image's captions, where there is one.
    captions: of images that a file of `metadata` has some of.  metadata: these files.
    """

    folder: Path
    files: list[Path]
    labels: np.ndarray
    classes: tuple[str, ...]
    account: Account
    texts: dict[Path, Path]
    captions: dict[Path, str]
    metadata: tuple[Path, ...] = ()


# What gives an image its class: its folder, and no image lies beside those; its folder, where it
# has one; nothing, and all below the root is one split.
FOLDERS, SOME, NONE = LABELS = ("folders", "some", "none")
TABLES = frozenset({"'.csv'", "'.tsv'", "'.jsonl'"})  # that may have been meant to say something


def look(
    root: Path,
    split: str | None,
    *,
    classes: Sequence[str] | None,
    captions: bool,
    labels: str = FOLDERS,
) -> Labelled:
    """Finds a split and labels its images with the classes of training.

    Of several folders that may be the test split the first one with a labelled image is taken:
    ImageNet's `test` has none, its `val` has.

    Args:
      root, split: see `image_folder`.
      classes: of training; None takes them from the training split, if there is one.
      captions: see `folder_tree.tree`.
      labels: one of `LABELS`.
    """
    if labels == NONE:
        return _unsorted(root, split, captions=captions)
    if classes is None and split == "test":
        classes = _trained(root)
    best = None
    places = folder_names.candidates(root, split)
    # An empty test folder hides no val; where all are empty, the first says so.
    for folder in [d for d in places if has_images(d) or filled(d)] or places[:1]:
        inside = folder != root
        options = dict(captions=captions, inside=inside, root=root, lists=split == "test")
        options["some"] = labels == SOME
        one = _label(_unwrapped(folder), classes, **options)
        if best is None or one.account.labelled and not best.account.labelled:
            best = one
    if split == "train" and best.folder != root:
        best = _saying(best, _beside(root, best))
    if split == "test" and (training := _training(root)):
        twice = overlap.warning(below(training), best.files)
        account = best.account._replace(warnings=(*best.account.warnings, *filter(None, [twice])))
        best = best._replace(account=account)
    return best


def _beside(root: Path, labelled: Labelled) -> str:
    """What of a data set is no split of it, and so not read; "" of nothing.

    Raises:
      ConfigError: the training split is flat and alone, so that it may be a class beside others.
    """
    if not folder_names.splits(root):  # they lie deeper, among folders of an archive
        return ""
    others = folder_names.beside(root, filled(root))
    if not labelled.classes:
        folder_names.not_alone(root, labelled.folder, others)
    return f"not read, as no split: {listed(others)}" if others else ""


def _unsorted(root: Path, split: str | None, *, captions: bool) -> Labelled:
    """All images in and below a folder, whatever its folders are called, without a label."""
    if split == "test":
        raise NoSplit(f"'{root}' has no test split: nothing in it is sorted")
    there = tree(root, captions=captions)
    files = [*there.flat, *itertools.chain.from_iterable(there.folders.values())]
    if not files:
        raise _without_images(root, there)
    labelled = _numbered(root, there, files, [None] * len(files), (), None)
    said = metadata.read(there.metadata, files)
    return labelled._replace(captions=said.captions if captions else {})


def _without_images(folder: Path, there: Tree) -> ConfigError:
    return ConfigError(
        f"no images in '{folder}': looked for {', '.join(sorted(SUFFIXES))} files in it "
        f"and in its subfolders (one per class)" + (f"; there are {there}" if str(there) else "")
    )


def _trained(root: Path) -> tuple[str, ...] | None:
    """The classes of the training split below `root`; None where there is no such split."""
    if (folder := _training(root)) is None:
        return None
    names = filled(inner := _unwrapped(folder))
    if names and not _plain(names):
        return tuple(names)
    if not names and not has_images(inner):
        return ()
    return _label(inner, None, captions=False, inside=True, root=root, lists=False).classes


def _training(root: Path) -> Path | None:
    """The folder of the training split below `root`; None where there is none."""
    try:
        (folder,) = folder_names.candidates(root, "train")
    except NoSplit:
        return None
    return None if folder == root else folder


def _unwrapped(folder: Path) -> Path:
    """`folder`, or the folder within its only one, and so on, that holds several classes."""
    inner = folder
    while len(names := filled(inner)) == 1 and not has_images(inner):
        inner /= names[0]
    return inner if len(names) > 1 and not has_images(inner) else folder


def _plain(names: Collection[str]) -> bool:
    """Whether the folders of images are one that is called so, and no class."""
    return len(names) == 1 and bool(folder_names.PLAIN.fullmatch(next(iter(names)).casefold()))


def _label(
    folder: Path,
    classes: Sequence[str] | None,
    *,
    captions: bool,
    inside: bool,
    root: Path,
    lists: bool,
    some: bool = False,
) -> Labelled:
    """The images of a folder with their labels.

    inside: it is a split of something.  root: of the data set.
    lists: whether a flat one may have a list of labels below `root`.
    some: whether images may lie beside the folders of classes, and have no label then.
    """
    there = tree(folder, captions=captions)
    full = {name: files for name, files in there.folders.items() if files}
    if there.flat and full and not some:
        raise ConfigError(
            f"'{folder}' holds both images ({there.flat[0].name}) and folders of images "
            f"({next(iter(full))}); put all images into one folder per class, or none"
        )
    if not there.flat and not full:
        raise _without_images(folder, there)
    labels, flat, inner = None, there.flat, {}
    if not there.flat and _plain(list(full)) and next(iter(full)) not in (classes or ()):
        ((name, flat),) = full.items()
        files, names = flat, [None] * len(flat)
        place = folder / name
    elif full:
        inner = {name: _inner(folder / name, files) for name, files in full.items()}
        folder_names.not_splits(inner, folder, inside=inside, known=classes or ())
        files = [*flat, *(file for files in full.values() for file in files)]
        names = [None] * len(flat) + [name for name, files in full.items() for _ in files]
        flat = []
    else:
        files, names, place = flat, [None] * len(flat), folder
    said = metadata.read([*there.metadata, *_above(folder, root)], files)
    if flat and said.labels:
        labels = ilsvrc.Labels(said.files[0], [said.labels.get(file) for file in flat])
    elif flat and lists:
        labels = ilsvrc.find(place, flat, root=root, classes=classes or ())
    names = labels.names if labels else names
    labelled = _numbered(folder, there, files, names, classes, labels)
    labelled = _saying(labelled, *said.notes, _depth(inner))
    told = said.captions if captions else {}
    return labelled._replace(captions=told, metadata=said.files if told or labels else ())


def _above(folder: Path, root: Path) -> list[Path]:
    """Files of metadata around a folder, up to that of the data set."""
    around = [place for place in folder.parents if place == root or root in place.parents]
    return [file for place in around for file in sorted(place.iterdir())
            if metadata.is_one(file.name) and file.is_file()]  # fmt: skip


def _saying(labelled: Labelled, *said: str) -> Labelled:
    """The split, of which its account says something more."""
    account = labelled.account
    return labelled._replace(account=account._replace(notes=(*account.notes, *filter(None, said))))


def _inner(folder: Path, files: Sequence[Path]) -> list[str]:
    """The folders within that of a class that have its images, but one that is called so."""
    names = {file.relative_to(folder).parts[0] for file in files if file.parent != folder}
    return [] if _plain(names) else sorted(names)


def _depth(inner: Mapping[str, Sequence[str]]) -> str:
    """Which folders are the classes where there are folders in folders; "" where there are none."""
    if not any(inner.values()):
        return ""
    outer = [name for name in inner if inner[name]]
    within = sorted({name for names in inner.values() for name in names})
    return (
        f"the classes are the outer folders ({listed(outer)}), and not the folders within them "
        f"({listed(within)}); to tell those apart, put them beside each other"
    )


def _numbered(folder, there: Tree, files, names, classes, lists) -> Labelled:
    """Numbers for names: of training, whatever this split has."""
    own = list(dict.fromkeys(name for name in names if name is not None))
    classes = tuple(sorted(own) if lists else own) if classes is None else tuple(classes)
    numbers = {folder_names.same(name): number for number, name in enumerate(classes)}
    if len(numbers) != len(classes):
        raise ConfigError(f"two classes of '{folder}' have names that look the same")
    labels = np.array([-1 if n is None else numbers.get(folder_names.same(n), -1) for n in names])
    unknown = collections.Counter(
        name for name, label in zip(names, labels, strict=True) if name is not None and label < 0
    )
    note = _note(folder, there, labels, classes, unknown, lists)
    account = Account(int((labels >= 0).sum()), dict(unknown), (note,), _unread(there))
    return Labelled(folder, files, labels, classes, account, there.texts, {})


def _unread(there: Tree) -> tuple[str, ...]:
    """A sentence on the folders that cannot be read; none where all can be."""
    if not there.unread:
        return ()
    folders = _number(len(there.unread), "folder", "folders")
    first = next(iter(there.unread.values()))
    return (f"left out {folders} that cannot be read ({first}): {listed(sorted(there.unread))}",)


def _note(folder, there: Tree, labels, classes, unknown, lists) -> str:
    """One sentence: what was found, what is missing, what was left out."""
    count = np.bincount(labels[labels >= 0], minlength=len(classes))
    said = [f"'{folder}': {_number(len(labels), 'image', 'images')}"]
    if not (labels >= 0).any() and not unknown:
        said[0] += ", none of them labelled"
    else:
        said[0] += " of " + _number((count > 0).sum() + len(unknown), "class", "classes")
        if lists:
            said.append(f"{len(labels) - int((labels < 0).sum())} labelled by '{lists.path}'")
        if absent := [name for name, n in zip(classes, count, strict=True) if not n]:
            said.append(f"none of {listed(absent)}")
        if unknown:
            said.append(f"{sum(unknown.values())} of {listed(sorted(unknown))}, not in training")
    if empty := [name for name, files in there.folders.items() if not files]:
        said.append(f"folders without an image: {listed(empty)}")
    if str(there):
        said.append(f"left out: {there}")
    if TABLES & there.left_out.keys() and not (lists or there.metadata):
        said.append(metadata.HINT)
    return "; ".join(said)


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
