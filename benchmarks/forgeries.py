"""Manifests of checkpoints that say something else: torn, exchanged, edited, sealed again.

Each takes the folder of the checkpoints and a generator of random numbers, and says what it did.
"""

import hashlib
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"


def steps(folder: Path) -> list[Path]:
    """Folders of steps, the oldest first."""
    return sorted((p for p in folder.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name))


def unsealed(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The newest step's manifest: its file, and what it says but for its own digest."""
    path = steps(folder)[-1] / MANIFEST
    said = json.loads(path.read_text())
    del said["digest"]
    return path, said


def older_manifest(folder: Path, rng: random.Random) -> str:
    """The newest step has the manifest of an older one."""
    new, old = steps(folder)[-1], rng.choice(steps(folder)[:-1])
    shutil.copy(old / MANIFEST, new / MANIFEST)
    return f"that of {old.name} in {new.name}"


def no_manifest(folder: Path, rng: random.Random) -> str:
    """Other JSON, or none, in its place."""
    text = (steps(folder)[-1] / MANIFEST).read_text()
    other = (
        "", "{}", "[]", "null", "7", "[" * 10**5, '{"a":' * 10**5, text * 2, text[:-1],
        "\ufeff" + text, '{"digest": 1e999, "format": 1}', "9" * 10**5, '"\\ud800"',
        '{"format": 1, "digest": "", "files": {}}', text.replace('"format": 1', '"format": NaN'),
    )  # fmt: skip
    which = rng.randrange(len(other))
    (steps(folder)[-1] / MANIFEST).write_text(other[which])
    return f"{which}, {other[which][:20]!r}"


def edited_manifest(folder: Path, rng: random.Random) -> str:
    """One value in it is another, and its own digest is that of before."""
    path = steps(folder)[-1] / MANIFEST
    said = json.loads(path.read_text())
    what = other_value(said, rng)
    path.write_text(json.dumps(said, indent=1))
    return what


def forged_manifest(folder: Path, rng: random.Random) -> str:
    """What it says of the same files is another thing, and its own digest fits."""
    path, said = unsealed(folder)
    what = other_value({name: x for name, x in said.items() if name != "meta"}, rng)
    seal(path, said)
    return what


def forged_structure(folder: Path, rng: random.Random) -> str:
    """Blocks of it are gone, of another kind, or another's, and its own digest fits."""
    path, said = unsealed(folder)
    key = rng.choice(("step", "items", "files", "format", "meta"))
    kind = rng.choice(("gone", "null", "list", "text", "deep"))
    if kind == "gone":
        del said[key]
    else:
        deep: Any = 0
        for _ in range(60):
            deep = [deep]
        said[key] = {"null": None, "list": [1], "text": "x", "deep": deep}[kind]
    seal(path, said)
    return f"{key} {kind}"


def forged_item(folder: Path, rng: random.Random) -> str:
    """Shape or type of an array, as the manifest has it, whose own digest fits."""
    path, said = unsealed(folder)
    item = rng.choice((*said["items"], "ema", "ema"))
    leaf = leaf_of(said["items"][item], rng)
    entry = said["items"][item][leaf]
    shape = entry["shape"]
    entry |= rng.choice((
        {"dtype": "bfloat16"}, {"dtype": "float64"}, {"dtype": "int32"}, {"dtype": "object"},
        {"dtype": "V8"}, {"dtype": "nonsense"}, {"dtype": 3}, {"dtype": "S100000"},
        {"shape": shape[::-1]}, {"shape": [math.prod(shape)]}, {"shape": [*shape, 1]},
        {"shape": shape[:-1]}, {"shape": [2 * n for n in shape] or [2]}, {"shape": [10**12]},
        {"shape": [-1]}, {"shape": [0]}, {"shape": None}, {"shape": ["x"]}, {"shape": [2**62, 4]},
        {"shape": [n - 1 for n in shape] or [0]}, {"words": [2]}, {"words": "x"}, {"impl": "rbg"},
    ))  # fmt: skip
    seal(path, said)
    return f"{item}/{leaf} is {entry}"


def leaf_of(leaves: dict, rng: random.Random) -> str:
    """One, of random keys every fourth time where there are some."""
    keys = [path for path, entry in leaves.items() if "impl" in entry]
    return rng.choice(keys if keys and rng.random() < 0.25 else sorted(leaves))


def forged_leaf(folder: Path, rng: random.Random) -> str:
    """A leaf has another name, or its place is another's, or there is one more or less."""
    path, said = unsealed(folder)
    item = rng.choice((*said["items"], "ema", "ema"))
    leaves = said["items"][item]
    leaf = leaf_of(leaves, rng)
    kind = rng.choice(("gone", "renamed", "added", "nested", "outside", "none"))
    if kind in ("gone", "renamed"):
        entry = leaves.pop(leaf)
        leaves |= {leaf + "x": entry} if kind == "renamed" else {}
    elif kind == "none":
        leaves[leaf] = rng.choice((None, [], 3, {}))
    else:
        other = {"added": "new", "nested": f"{leaf}/x", "outside": "../../x"}[kind]
        leaves[other] = leaves[leaf]
    seal(path, said)
    return f"{item}/{leaf} {kind}"


def forged_file(folder: Path, rng: random.Random) -> str:
    """A file is left out or another one named, and its own digest fits."""
    path, said = unsealed(folder)
    name = rng.choice(sorted(said["files"]))
    entry = said["files"].pop(name)
    kind = rng.choice(("left out", "..", "/etc/passwd", "twice", "nothing", "size", "all left out"))
    if kind in ("..", "/etc/passwd"):
        said["files"][{"..": f"../20/{name}"}.get(kind, kind)] = entry
    elif kind == "twice":
        said["files"] |= {name: entry, name + "/x": entry}
    elif kind == "nothing":
        said["files"][name] = {"size": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    elif kind == "size":
        said["files"][name] = {**entry, "size": rng.choice((-1, True, 2**62, "3", None))}
    elif kind == "all left out":
        said["files"] = {}
    seal(path, said)
    return f"{name} {kind}"


def other_value(said: dict, rng: random.Random) -> str:
    """Replaces one value somewhere; where, and by what."""
    node, path = said, []
    while isinstance(node, dict) and node:
        parent, key = node, rng.choice(sorted(node))
        path.append(key)
        node = node[key]
    value = rng.choice((None, -1, 0, 1, 10**6, 2**63, 1.5, "", "x", [], {}, [1], True))
    parent[key] = [value] if type(value) is type(node) and value == node else value
    return f"{'/'.join(path)} is {value!r}"


def seal(path: Path, said: dict) -> None:
    """Writes a manifest with a digest of its own."""
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**said, "digest": digest}, indent=1))


FORGERIES = (
    older_manifest, no_manifest, edited_manifest, forged_manifest, forged_structure, forged_item,
    forged_leaf, forged_file,
)  # fmt: skip
