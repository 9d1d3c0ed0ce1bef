"""Labels of objects in YOLO's text files, and the names of their categories.

A line is an object: its category, and four shares of the image's width and height, or the
corners of a polygon, x before y.

    0 0.50 0.50 0.25 0.40                 centre x, centre y, width, height
    2 0.10 0.10 0.30 0.10 0.20 0.40       three corners or more

https://docs.ultralytics.com/datasets/detect/, https://docs.ultralytics.com/datasets/segment/
"""

import re
from pathlib import Path

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import outlines, sample_objects, texts
from m3i_jax.data.sources.protocol import listed
from m3i_jax.data.sources.sample_objects import SampleObjects
from m3i_jax.types import Array

BEYOND = 0.01  # of the image, by which rounding may take a place out of it
LISTS = ("classes.txt", "classes.names", "obj.names")  # a name a line
LARGEST = 100_000  # categories


def label(text: str, count: int, height: int, width: int) -> SampleObjects:
    """The objects of an image of this size.

    count: of the categories.

    Raises:
      ValueError: naming the line that is no object.
    """
    size = np.array([height, width])
    rows = [
        (number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]
    if not rows:
        return sample_objects.none()
    read = [_object(number, words, count) for number, words in rows]
    shapes = [None if len(x) == 4 else _polygon(x) * size.astype(np.float32) for _, x in read]
    boxes = [
        _box(x) * np.tile(size, 2) if shape is None else [*shape.min(0), *shape.max(0)]
        for (_, x), shape in zip(read, shapes, strict=True)
    ]
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    extent = np.maximum(corners[:, 2:] - corners[:, :2], 0).prod(1)
    area = [
        box if shape is None else outlines.area((shape,))
        for box, shape in zip(extent, shapes, strict=True)
    ]
    some = any(shape is not None for shape in shapes)
    return SampleObjects(
        corners,
        np.array([category for category, _ in read], np.int32),
        np.zeros(len(read), bool),
        np.array(area, np.float32),
        tuple(shape if shape is None else (shape,) for shape in shapes) if some else None,
    )


def names(place: Path, file: str | None) -> tuple[str, ...]:
    """The names of the categories: of a file, a name a line or with `names:` in YAML; None = of the
    only one of these in the folder.

    Raises:
      ConfigError: there is none, there are several, or it names nothing.
    """
    if file is None:
        there = [place / name for name in LISTS if (place / name).is_file()]
        there += sorted([*place.glob("*.yaml"), *place.glob("*.yml")])
        if len(there) != 1:
            has = listed(one.name for one in there) or "no data.yaml, no classes.txt"
            raise ConfigError(f"'{place}' has {has}: data.names says which names the categories")
        found = there[0]
    else:
        found = Path(file).expanduser()
    text = texts.read(found)
    yaml = found.suffix.lower() in (".yaml", ".yml")
    said = _of_yaml(text) if yaml else [line.strip() for line in text.splitlines() if line.strip()]
    if not 0 < len(said) <= LARGEST or not all(said):
        raise ConfigError(
            f"'{found}' does not name the categories: expected names, or a line each"
            if yaml
            else f"'{found}' names {len(said)} categories, expected 1 to {LARGEST}"
        )
    return tuple(said)


def _object(number: int, words: list[str], count: int) -> tuple[int, Array]:
    """Category and shares of a line."""
    try:
        category, *shares = map(float, words)
    except ValueError:
        raise ValueError(f"line {number} has other things than numbers") from None
    if category != int(category if np.isfinite(category) else -1) or not 0 <= category < count:
        raise ValueError(f"line {number} has category {words[0]}, of {count} from 0")
    if len(shares) != 4 and (len(shares) < 6 or len(shares) % 2):
        raise ValueError(
            f"line {number} has {len(shares)} numbers behind its category, expected 4 of a box or "
            "x and y of three corners or more"
        )
    values = np.array(shares)
    ends = _box(values) if len(shares) == 4 else values
    if not (np.isfinite(ends).all() and (ends > -BEYOND).all() and (ends < 1 + BEYOND).all()):
        raise ValueError(f"line {number} leaves its image: places are shares of it, from 0 to 1")
    return int(category), values


def _box(shares: Array) -> Array:
    """Top, left, bottom, right, in shares, of centre x, centre y, width, height."""
    x, y, width, height = shares
    return np.array([y - height / 2, x - width / 2, y + height / 2, x + width / 2])


def _polygon(shares: Array) -> Array:
    """(V, 2) float32 rows and columns, in shares."""
    return shares.reshape(-1, 2)[:, ::-1].astype(np.float32)


def _of_yaml(text: str) -> list[str]:
    """The value of `names` in YAML as these files have it: [a, b], {0: a, 1: b}, or a line each."""
    lines = [re.sub(r"(^|\s)#.*", "", line).rstrip() for line in text.splitlines()]
    start = next((n for n, line in enumerate(lines) if re.match(r"names\s*:", line)), None)
    if start is None:
        return []
    rest = lines[start].split(":", 1)[1].strip()
    if rest:
        flow = " ".join([rest, *lines[start + 1 :]])
        if flow[0] not in "[{" or (end := flow.find("]" if flow[0] == "[" else "}")) < 0:
            return []
        items = [part.strip() for part in flow[1:end].split(",")]
        numbered = flow[0] == "{"
    else:
        items = []
        for line in lines[start + 1 :]:
            if line and not re.match(r"\s|-", line):
                break  # the next key
            items += [line.strip()] if line.strip() else []
        numbered = not all(item.startswith("-") for item in items)
        items = items if numbered else [item[1:].strip() for item in items]
    return _in_order(items) if numbered else [_plain(item) for item in items if item]


def _in_order(items: list[str]) -> list[str]:
    """The names of `0: a`, `1: b`; [] where numbers are others than those from 0 on."""
    pairs = [item.partition(":") for item in items if item]
    said = {number.strip().strip("'\""): _plain(name.strip()) for number, _, name in pairs}
    wanted = [str(n) for n in range(len(pairs))]
    return [said[n] for n in wanted] if {*said} == {*wanted} else []


def _plain(name: str) -> str:
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "'\""
    return name[1:-1] if quoted else name
