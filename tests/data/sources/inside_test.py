"""Paths in a container answer as those of `pathlib` do."""

import collections
from pathlib import Path

import pytest

from m3i_jax.data.sources.inside import Inside, Status

NAMES = ("b/z.png", "a/c/x.png", "a/y.tar.gz", "top.txt")


class Container:
    """Of a folder on disk."""

    def __init__(self, folder):
        self.where, self.left_out = str(folder), collections.Counter()
        self.files = dict.fromkeys(NAMES)
        self.folders = {"": ["b", "a", "top.txt"], "a": ["c", "y.tar.gz"], "a/c": ["x.png"],
                        "b": ["z.png"]}  # fmt: skip

    def status(self, name):
        return Status(len(name), 0, self.where, 0)

    def read(self, name, *, most):
        return name.encode()[:most]


@pytest.fixture
def both(tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path, Inside(Container(tmp_path), "")


def told(top: Path | Inside, inner: str):
    """All that a path says."""
    path = top / inner
    said = [path.name, path.stem, path.suffix, path.parts, path.as_posix(), str(path)]
    said += [str(path.with_name("other")), str(path.relative_to(top)), str(path.parent)]
    said += [[str(p) for p in path.parents if str(p).startswith(str(top))]]
    said += [path.exists(), path.is_dir(), path.is_file(), path.is_symlink()]
    said += [sorted(p.name for p in path.iterdir()) if path.is_dir() else path.read_bytes()]
    said += [sorted(p.name for p in path.glob("*.*")), path.stat().st_size if path.is_file() else 0]
    return said


@pytest.mark.parametrize("inner", [*NAMES, "a", "a/c"])
def test_they_say_what_pathlib_says(both, inner):
    folder, inside = both
    assert told(folder, inner) == told(inside, inner)


def test_order_equality_and_what_is_not_there(both):
    folder, inside = both
    assert [str(p) for p in sorted(inside / n for n in NAMES)] == [
        str(p) for p in sorted(folder / n for n in NAMES)
    ]
    assert inside / "a/c" == inside / "a" / "c" != inside / "a"
    assert len({inside / "a", inside / "a", inside / "./a"}) == 2 or (inside / "./a").name == "a"
    missing = inside / "a" / "none"
    assert not missing.exists()
    for ask in (missing.stat, missing.read_bytes):
        with pytest.raises(FileNotFoundError, match="none"):
            ask()


def test_walk_goes_where_it_is_let(both):
    _, inside = both
    walked = []
    for path, folders, files in inside.walk():
        walked.append((str(path.relative_to(inside)), folders[:], files))
        folders[:] = [name for name in folders if name != "b"]
    assert walked == [(".", ["b", "a"], ["top.txt"]), ("a", ["c"], ["y.tar.gz"]),
                      ("a/c", [], ["x.png"])]  # fmt: skip
