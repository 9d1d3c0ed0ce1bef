"""Images in one tree of folders, and for each a file of the same name in another.

ROOT/images/**/NAME.jpg            ROOT/masks/**/NAME.png              training only
ROOT/images/train/**/NAME.jpg      ROOT/masks/train/**/NAME.png        and of the test split
ROOT/train/images/**/NAME.jpg      ROOT/train/masks/**/NAME.png        and of the test split
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import folder_tree
from m3i_jax.data.sources.folder_names import ORDER, PLAIN, splits, subfolders
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.protocol import NoSplit, listed

Files = list[Path | Inside]


class Pairs(NamedTuple):
    """images, others: files, the n-th of one belongs to the n-th of the other.

    warnings: sentences on what was left out.
    """

    images: Files
    others: Files
    warnings: tuple[str, ...] = ()


def found(root: Path | Inside, split: str, names: re.Pattern, *, what: str) -> Pairs:
    """The images of a split and the files that belong to them.

    Args:
      root: the folder of the data set.
      split: "train" or "test".
      names: of folders of these files, such as masks, in lower case.
      what: one of these files is, for errors.

    Raises:
      NoSplit: there is no such split.
      ConfigError: there are no two such trees, or no image has its file.
    """
    return paired(*halves(root, split, names, what=what), what=what)


def halves(
    root: Path | Inside, split: str, names: re.Pattern, *, what: str
) -> tuple[Path | Inside, Path | Inside]:
    """The folder of the images of a split, and that of what belongs to them; see `found`."""
    require(root, split)
    if both_trees := _halves(root, names):
        images, others = map(splits, both_trees)
        if not images and split == "train":
            return both_trees
        both = {kind: (images[kind], others[kind]) for kind in images if kind in others}
    else:
        inside = {kind: _halves(one, names) for kind, one in splits(root).items()}
        both = {kind: pair for kind, pair in inside.items() if pair}
        if not both:
            raise ConfigError(
                f"'{root}' has no folder of images and none of {what}s beside it, called as "
                f"images and {what}s are"
            )
    for kind in ORDER[split]:
        if kind in both:
            return both[kind]
    raise NoSplit(f"'{root}' has no {split} split with {what}s; there are {listed(sorted(both))}")


def require(root: Path | Inside, split: str) -> None:
    """Refuses a folder that is not there, and a split that nothing has."""
    if not root.is_dir():
        raise ConfigError(f"there is no folder '{root}'")
    if split not in ORDER:
        raise ConfigError(f"split is '{split}'{nearest(split, ORDER)}")


def paired(images: Path | Inside, others: Path | Inside, *, what: str) -> Pairs:
    """All images below a folder with the files of the same names below another.

    Raises:
      ConfigError: no image has its file.
    """
    stem = lambda file, folder: file.relative_to(folder).with_suffix("").as_posix()  # noqa: E731
    beside = {stem(file, others): file for file in folder_tree.below(others)}
    named = {stem(file, images): file for file in folder_tree.below(images)}
    return joined(named, beside, what=what, where=(images, others))


def joined(images: dict[str, Path], others: dict[str, Path], *, what: str, where: tuple) -> Pairs:
    """Images and other files by what their names have in common.

    Raises:
      ConfigError: no image has its file.
    """
    names = [name for name in images if name in others]
    if not names:
        raise ConfigError(
            f"none of the {len(images)} images in '{where[0]}' has a {what} of its name among the "
            f"{len(others)} files in '{where[1]}'"
        )
    alone = [images[name] for name in images if name not in others]
    unused = [others[name] for name in others if name not in images]
    warnings = _left_out(alone, f"images without a {what}") + _left_out(
        unused, f"{what}s without an image"
    )
    return Pairs([images[n] for n in names], [others[n] for n in names], warnings)


def _left_out(files: Iterable[Path], which: str) -> tuple[str, ...]:
    files = sorted(files)
    return (f"left out {len(files)} {which}: {listed(map(str, files))}",) if files else ()


def _halves(folder: Path | Inside, names: re.Pattern) -> tuple | None:
    """The folder of images and that of other files in a folder; None where one is lacking.

    Raises:
      ConfigError: there are several of one.
    """
    inner, halves = subfolders(folder), []
    tests: tuple[Callable, ...] = (PLAIN.fullmatch, names.fullmatch)
    for test in tests:
        fitting = [one for one in inner if test(one.name.lower())]
        if len(fitting) > 1:
            raise ConfigError(
                f"'{folder}' holds {listed(one.name for one in fitting)}; leave one of them there"
            )
        halves += fitting
    return tuple(halves) if len(halves) == 2 else None
