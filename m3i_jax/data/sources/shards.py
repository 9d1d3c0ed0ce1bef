"""The files of a data set that comes in pieces: which they are, and of which split.

FOLDER/train-00000-of-00005.parquet      FOLDER/train/00000.tar     {00000..00099}.tar, *.tar
FOLDER/data/validation-00000-of-00001…   FOLDER/val/00000.tar       FOLDER/00000.tar
"""

import glob
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import folder_names, remote, urls
from m3i_jax.data.sources.folder_names import ORDER, is_system
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.protocol import NoSplit, listed
from m3i_jax.data.sources.split_words import split_of

MOST = 10**6  # files that a pattern may stand for
INNER = ("", "data")  # where the files are in the folder of a data set
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_PART = re.compile(r"(.*?)(\d+)-of-(\d+)(.*)")


def candidates(root: str, split: str | None, suffixes: Sequence[str]) -> list[list[Path]]:
    """The files that may be `split`, the best name first, each in order of their names.

    Files whose names say no split are the training split where none of them does.

    Args:
      root: a folder, a file, or a pattern with {00..99}, {train,val}, * or ?; or a URL of one.
      split: "train" or "test"; None is "train".
      suffixes: of the files, such as (".tar",).

    Raises:
      NoSplit: there is no such split.
      ConfigError: there are no such files, some of them are missing, or names say two splits.
    """
    split = split or "train"
    if split not in ORDER:
        raise ConfigError(f"split is '{split}'{nearest(split, ORDER)}")
    splits = _splits(root, suffixes)
    chosen = [splits[kind] for kind in ORDER[split] if kind in splits]
    if not chosen:
        has = ", ".join(f"{len(files)} of {kind}" for kind, files in splits.items())
        raise NoSplit(f"'{root}' has no {split} split; of its files there are {has}")
    for files in chosen:
        _whole(files)
    return chosen


def _splits(root: str, suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """The files of each split."""
    single = _BRACES.search(root) or root.lower().endswith(tuple(suffixes))
    if urls.is_remote(root) and (single or remote.MAGIC & set(root)):
        return _by_name(_behind(root), root)
    path = remote.folder(root) if urls.is_remote(root) else Path(urls.local(root))
    if path.is_dir():
        for inner in INNER:
            if files := _inside(path / inner, suffixes):
                return _by_name(files, root)
        folders = folder_names.splits(path)
        splits = {kind: _inside(folder, suffixes) for kind, folder in folders.items()}
        if splits := {kind: files for kind, files in splits.items() if files}:
            return splits
        there = listed(sorted(p.name for p in path.iterdir() if not is_system(p.name)))
        raise ConfigError(
            f"'{root}' has no {' or '.join(suffixes)} files, nor have folders of splits in it"
            + (f"; there are {there}" if there else "; it is empty")
        )
    return _by_name([*_expanded(str(path))], root)


def _inside(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files with these suffixes in a folder, by name."""
    if not folder.is_dir():
        return []
    names = (p for p in folder.iterdir() if p.name.lower().endswith(tuple(suffixes)))
    return sorted(p for p in names if not is_system(p.name) and p.is_file())


def _expanded(pattern: str) -> Iterator[Path]:
    """The files that a pattern stands for; those of braces must all be there.

    Raises:
      ConfigError: one is missing, or there are none.
    """
    missing = []
    for one in itertools.islice(_braces(pattern), MOST):
        if glob.has_magic(one) and not Path(one).exists():
            files = [Path(p) for p in sorted(glob.glob(one)) if not is_system(Path(p).name)]
            missing += [] if files else [one]
            yield from files
        elif Path(one).is_file():
            yield Path(one)
        else:
            missing.append(one)
    if missing:
        folder = Path(missing[0]).parent
        beside = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        hint = nearest(Path(missing[0]).name, beside) if beside else f"; there is no '{folder}'"
        raise ConfigError(f"there is no file {listed(missing)}{hint}")


def _behind(pattern: str) -> list[Inside]:
    """`_expanded`, of a URL."""
    found = remote.present([*itertools.islice(_braces(pattern), MOST)])
    if missing := [url for url, files in found.items() if not files]:
        raise ConfigError(f"there is no file {listed(missing)}")
    return [file for files in found.values() for file in files]


def _braces(pattern: str) -> Iterator[str]:
    """As a shell does: {08..11} counts, with its zeros, {a,b} is one or the other."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    before, inside, behind = pattern[: match.start()], match[1], pattern[match.end() :]
    if span := _RANGE.fullmatch(inside):
        first, last = int(span[1]), int(span[2])
        width = max(map(len, span.groups())) if inside.startswith("0") else 0
        parts = (f"{n:0{width}d}" for n in range(first, last + 1))
    else:
        parts = iter(inside.split(","))
    for part in parts:
        yield from _braces(before + part + behind)


def _by_name(files: Sequence[Path], root: str) -> dict[str, list[Path]]:
    """The files of each split, as their names say; all are of training where none says one."""
    splits: dict[str, list[Path]] = {}
    silent = []
    for file in files:
        kind = _kind(file.name.split(".")[0])
        (splits.setdefault(kind, []) if kind else silent).append(file)
    if splits and silent:
        raise ConfigError(
            f"of the files of '{root}' some say their split, as '{next(iter(splits.values()))[0]}' "
            f"does, and {listed(file.name for file in silent)} do not; put others elsewhere"
        )
    return splits or {"train": silent}


def _kind(stem: str) -> str | None:
    """The split that a name says: imagenet1k-validation-07, train-00000-of-00005.

    Raises:
      ConfigError: it says two.
    """
    if kind := split_of(stem):
        return kind
    words = [word for word in re.split(r"[\W_\d]+", stem) if word]
    kinds = {kind for word in words if (kind := split_of(word))}
    if len(kinds) > 1:
        raise ConfigError(f"'{stem}' says two splits, {' and '.join(sorted(kinds))}; name one")
    return next(iter(kinds), None)


def _whole(files: Sequence[Path]) -> None:
    """Refuses a set of NAME-00001-of-00005 of which some are missing."""
    numbers: dict[tuple[Path, str, str, str], set[int]] = {}
    for file in files:
        if match := _PART.fullmatch(file.name):
            key = (file.parent, match[1], match[3], match[4])
            numbers.setdefault(key, set()).add(int(match[2]))
    for (folder, before, count, behind), present in numbers.items():
        total = min(int(count), MOST)
        absent = (n for n in range(total) if n not in present)
        if (first := next(absent, None)) is not None:
            name = f"{before}{first:0{len(count)}d}-of-{count}{behind}"
            rest = total - len(present & set(range(total)))
            raise ConfigError(f"'{folder}' lacks {rest} of {total} files, the first '{name}'")
