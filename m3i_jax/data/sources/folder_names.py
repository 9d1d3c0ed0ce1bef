"""What the names of folders and files say: a split, a class, or what a system keeps for itself."""

import collections
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources.protocol import SHOWN, NoSplit
from m3i_jax.data.sources.split_words import (
    glued,
    is_piece,
    is_round,
    parted,
    qualified,
    split_of,
)

ORDER = {"train": ("train",), "test": ("test", "val")}  # what may be read as a split, first to last
ALIKE = {"train": "training_set and train2017", "test": "testing, validation_set and val2017"}
ILSVRC = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")  # where Kaggle's archive keeps the splits
PLAIN = re.compile(r"images?|imgs?|jpegimages|pictures|photos")  # a folder of images, no class

# Of NAS boxes (Synology, QNAP), Windows, macOS, ext4 and Python, in lower case.
_SYSTEM = frozenset(
    "@eadir @tmp @recycle @recently-snapshot @transcode @sharebin @sharesnap #recycle #snapshot "
    "$recycle.bin recycler recycled thumbs.db ehthumbs.db ehthumbs_vista.db desktop.ini "
    "lost+found __macosx __pycache__".split()
) | {"system volume information", "network trash folder", "temporary items", "icon\r"}
_SYSTEM_PATTERN = re.compile(
    r"(\.|~\$|found\.\d{3}$|@(app|syno|eadir|tmp|share|home)|@(__thumb|database|img_bkp_cache)$|"
    r"@(activebackup|s2s|docker|download|quarantine)$|#syno|syno@|\$(extend$|windows\.)|~snapshot$).*",
    re.DOTALL,
)


def is_system(name: str) -> bool:
    """Whether a file or folder is hidden or of an operating system's own."""
    folded = name.casefold()
    return folded in _SYSTEM or bool(_SYSTEM_PATTERN.match(folded))


def same(name: str) -> str:
    """How names of classes are compared: macOS writes accents as marks of their own."""
    return unicodedata.normalize("NFC", name)


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` that are not a system's, sorted by name."""
    try:
        if isinstance(folder, Path):  # whose entries know what they are, of 100 000 files, too
            with os.scandir(folder) as there:
                return sorted(folder / one.name for one in there
                              if not is_system(one.name) and one.is_dir())  # fmt: skip
        return sorted(d for d in folder.iterdir() if not is_system(d.name) and d.is_dir())
    except OSError as error:
        raise ConfigError(f"cannot read the folder '{folder}': {error.strerror}") from error


def once(folder: Path) -> tuple[list[Path], dict[str, str]]:
    """The subfolders without links that lead to what others of them have, and those, by name.

    A link to a folder beside it, into one, or to one around one would give images a second class.
    A folder goes before a link, of links the one to the innermost, and then the first by name.
    """
    folders = subfolders(folder)
    links = {one: one.resolve() for one in folders if one.is_symlink()}
    if not links:
        return folders, {}
    home = folder.resolve()
    kept = {home / one.name: one for one in folders if one not in links}
    again: dict[str, str] = {}
    for one in sorted(links, key=lambda d: (-len(links[d].parts), d.name)):
        target = links[one]
        other = next(
            (kept[k] for k in kept if target in (k, *k.parents) or k in target.parents), None
        )
        if other:
            again[one.name] = other.name
        else:
            kept[target] = one
    return sorted(kept.values()), again


def splits(folder: Path) -> dict[str, Path]:
    """Folders in `folder` that look like splits, by kind.

    Raises:
      ConfigError: two look like the same one, or training and another are one folder.
    """
    folders = subfolders(folder)
    by_kind = _one_each(folder, [(split_of(one.name), one) for one in folders])
    by_kind = _qualified(folder, folders, by_kind or _paired(folder, folders))
    places = {kind: one.resolve() for kind, one in by_kind.items()}
    for kind, place in places.items():
        if kind != "train" and place == places.get("train"):
            raise ConfigError(
                f"'{by_kind['train']}' and '{by_kind[kind]}' are one folder; what is tested on "
                "must not be what is trained on"
            )
    return by_kind


def _one_each(root: Path, folders: Iterable[tuple[str | None, Path]]) -> dict[str, Path]:
    """Kind -> the folder of it, of which there may be one."""
    by_kind: dict[str, Path] = {}
    for kind, one in folders:
        if kind in by_kind:
            raise ConfigError(
                f"'{root}' has two folders that look like its {kind} split, "
                f"'{by_kind[kind].name}' and '{one.name}'; leave one of them there"
            )
        if kind:
            by_kind[kind] = one
    return by_kind


def _qualified(root: Path, folders: Sequence[Path], known: dict[str, Path]) -> dict[str, Path]:
    """The splits with those of names that say more: train-other-500 and test-clean.

    Where some are known a lacking kind is taken if there is one of it; where none is, names of
    several kinds are meant as splits, and one alone may be a class.
    """
    named = [(kind, one) for one in folders if (kind := qualified(one.name)) and kind not in known]
    count = collections.Counter(kind for kind, _ in named)
    if known:
        return known | {kind: one for kind, one in named if count[kind] == 1}
    return _one_each(root, named) if len(count) > 1 else {}


def _paired(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Splits by names that differ in the word of a split alone: seg_train and segTest, 2 (val).

    Raises:
      ConfigError: there are several pairs, as trainA, testA, trainB and testB, of which none is
        meant more than others; or further folders of training.
    """
    alike: dict[tuple[str, ...], dict[str, Path]] = {}
    training = []
    for folder in folders:
        kinds, others = parted(folder.name)
        training += [("train", folder)] if kinds == ["train"] else []
        rest = tuple(word for word in others if not word.isdecimal())
        for kind in kinds:
            alike.setdefault(rest, {}).setdefault(kind, folder)
    pairs = [pair for pair in alike.values() if len(pair) > 1 and "train" in pair]
    if len(pairs) > 1:
        several = " and ".join(_quoted(path.name for path in pair.values()) for pair in pairs)
        raise ConfigError(
            f"'{root}' holds the splits of several data sets, {several}; give the folders of one "
            "of them, called train and test, as config.data.root"
        )
    return _one_each(root, training) and pairs[0] if pairs else {}


def candidates(root: Path, split: str | None) -> list[Path]:
    """The folders that may be `split` of `root`, the best name first; `root` itself for None.

    Raises:
      ConfigError: no such folder, no such split, or several.
    """
    if not root.is_dir():
        beside = [d.name for d in subfolders(root.parent)] if root.parent.is_dir() else []
        raise ConfigError(f"there is no folder '{root}'{nearest(root.name, beside)}")
    if split is None:
        return [root]
    if split not in ORDER:
        raise ConfigError(f"split is '{split}'{nearest(split, ORDER)}")
    for inner in ("", *ILSVRC):
        if by_kind := splits(root / inner) if (root / inner).is_dir() else {}:
            break
    chosen = [_unwrapped(by_kind[kind], kind) for kind in ORDER[split] if kind in by_kind]
    if chosen or split == "train" and not by_kind:
        return chosen or [root]
    there = f"; it has {_quoted(path.name for path in by_kind.values())}" if by_kind else ""
    wanted = [d.name for d in subfolders(root) if qualified(d.name) in ORDER[split]]
    there += f"; of {_quoted(wanted)} call one {split}" if len(wanted) > 1 else ""
    raise NoSplit(
        f"'{root}' has no {split} split: looked for {', '.join(ORDER[split])} in it, in any case, "
        f"and for names such as {ALIKE[split]}{there}"
    )


def not_splits(
    inner: Mapping[str, Collection[str]],
    folder: Path,
    *,
    inside: bool,
    known: Collection[str] = (),
) -> None:
    """Refuses folders of images that look like splits, or pieces of one, and not like classes.

    inner: {a folder of images: the folders of images within it}.
    inside: whether `folder` is a split itself; there "train" may be a class, the vehicle.
    known: classes of training.
    """
    names = list(inner)
    _not_pieces([name for name in names if name not in known], inner, folder)
    alike = [name for name in names if split_of(name) and name not in known]
    if inside and len(names) > 1 and [name.casefold() for name in alike] == ["train"]:
        return
    if {"train"} < {split_of(name) for name in alike}:
        raise ConfigError(f"'{folder}' holds the splits {_quoted(alike)}; give it as "
                          "config.data.root")  # fmt: skip
    if not inside:
        if not alike:
            _not_either([name for name in names if name not in known], folder)
        alike += [name for name in _qualifying(names) if name not in (*alike, *known)]
    if alike:
        others = ", ".join(name for name in names if name not in alike)
        raise ConfigError(
            f"'{folder}' holds {_quoted(alike)}, which looks like a split and not like a class"
            + (f", beside {others}" if others else "")
            + "; splits are expected side by side in config.data.root, classes within them"
        )


def beside(root: Path, names: Iterable[str]) -> list[str]:
    """Those of the folders of images of `root` that are no split of it, nor said to be of one."""
    kinds = {place.relative_to(root).parts[0] for place in splits(root).values()}
    return [name for name in names if name not in kinds and not parted(name)[0]]


def not_alone(root: Path, folder: Path, others: Sequence[str]) -> None:
    """Refuses a flat training split beside folders that may be classes as well as itself."""
    classes = [name for name in others if not is_piece(name) and not is_round(name)]
    if classes and len(splits(root)) == 1:
        name = folder.relative_to(root).parts[0]
        raise ConfigError(
            f"'{root}' holds '{name}', whose images are in no folders of classes, beside "
            f"{_quoted(classes[:SHOWN])}: it may be a split or a class; give '{folder}' as "
            f"config.data.root to read it alone, or put the classes into a folder {name} of "
            "their own"
        )


def _not_either(names: Sequence[str], folder: Path) -> None:
    """Refuses names that all say a split, and not the same, as train-station and test-tube do.

    Of names of one word only those that have the rest in common: trainfoo and testfoo.
    """
    kinds = [parted(name)[0] for name in names]
    joined = [glued(name) or (name, name) for name in names]
    alike = len({rest for _, rest in joined}) == 1 and len({kind for kind, _ in joined}) > 1
    if alike or all(kinds) and len({first for first, *_ in kinds}) > 1:
        raise ConfigError(
            f"'{folder}' holds {_quoted(names[:SHOWN])}, which may be splits or classes; call "
            "splits train and test, and put classes into a folder train of their own"
        )


def _qualifying(names: Sequence[str]) -> list[str]:
    """Names that are splits with further words; train-clean is none beside bus-clean."""
    said = {name: parted(name) for name in names}
    classes = [set(others) for kinds, others in said.values() if not kinds]
    shared = lambda name: any(set(said[name][1]) <= others for others in classes)  # noqa: E731
    return [name for name in names if qualified(name) and not shared(name)]


def _not_pieces(names: list[str], inner: Mapping[str, Collection[str]], folder: Path) -> None:
    """Refuses the folds of a cross-validation and the like."""
    again = collections.Counter(name for one in inner.values() for name in set(one))
    shared = any(count > 1 for count in again.values())
    pieces = [name for name in names if is_piece(name) or shared and is_round(name)]
    if pieces:
        both = len(pieces) > 1
        raise ConfigError(
            f"'{folder}' holds {_quoted(pieces[:SHOWN])}"
            + (f" and {len(pieces) - SHOWN} more" if len(pieces) > SHOWN else "")
            + f", which look{'' if both else 's'} like {'pieces' if both else 'a piece'} of a data "
            f"set and not like {'classes' if both else 'a class'}; put the images to train on into "
            "one folder per class of config.data.root/train, others into those of "
            "config.data.root/test"
        )


def _unwrapped(folder: Path, kind: str) -> Path:
    """`folder`, or the folder of the same split that an archive has put into it."""
    while len(there := [p for p in folder.iterdir() if not is_system(p.name)]) == 1:
        if not (there[0].is_dir() and split_of(there[0].name) == kind):
            break
        folder = there[0]
    return folder


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)
