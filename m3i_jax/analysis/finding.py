"""What a measure has found, of which model on which data: a line of `analysis.jsonl`."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import jsonfile, pictures
from m3i_jax.analysis.measure import FORMS, Picture
from m3i_jax.checkpoints import json_lines
from m3i_jax.checkpoints.storage import writing

FILE = "analysis.jsonl"
FOLDER = "analysis"  # of the pictures, beside the file
DIGITS = 7  # of a number, which is all that float32 has
PICTURE = re.compile(r"[0-9a-f]{16}\.png")


class Finding(NamedTuple):
    """What a measure found, and everything that is needed to compare it.

    measure: as a command line says it.  title, unit: in words.
    form, values, labels, protocol, counts: see `Shown`.
    model, weights: name and digest; of a comparison, of the first of the two.
    branch, step: of a run.   image: side of the images in pixels.
    data, records: name and digest of the records.
    other, other_weights: the second model of a comparison, "" where there is none.
    pictures: (what it shows, its file in the folder `analysis`).
    versions: of this library, of jax, ... that found it.   time: when, in UTC.
    """

    measure: str
    title: str
    unit: str
    form: str
    values: Mapping[str, Any]
    labels: Mapping[str, Sequence[str]]
    protocol: Mapping[str, Any]
    counts: Mapping[str, int]
    model: str
    weights: str
    branch: str
    step: int
    image: int
    data: str
    records: str
    other: str = ""
    other_weights: str = ""
    pictures: Sequence[tuple[str, str]] = ()
    versions: Mapping[str, str] = {}
    time: str = ""

    @property
    def name(self) -> str:
        """Of the measure, without its settings."""
        return self.measure.partition(":")[0]


def file(place: str | Path) -> Path:
    """The file of findings in a folder, or the file itself."""
    place = Path(place)
    return place if place.suffix == ".jsonl" else place / FILE


def write(place: str | Path, finding: Finding, *, drawn: Sequence[Picture] = ()) -> Finding:
    """Appends a finding, its pictures first; returns it with their names.

    A picture is named by what it shows, so that one that is there is never written over.

    Args:
      place: a folder, or the file itself, whose name ends in .jsonl.
      drawn: the pictures.

    Raises:
      ValueError: a form that there is not, or a number that is not finite.
      Unwritable: the disk is full or read-only.
    """
    path = file(place)
    folder = path.parent / FOLDER
    named = [(picture.caption, _picture_name(picture)) for picture in drawn]
    finding = finding._replace(pictures=named)
    line = _line(finding)
    with writing(folder):
        if drawn:
            folder.mkdir(parents=True, exist_ok=True)
        for picture, (_, name) in zip(drawn, named, strict=True):
            if not (folder / name).exists():
                pictures.save(picture.image, folder / name)
    json_lines.append(path, [line])
    return finding


def read(place: str | Path) -> list[Finding]:
    """The findings of a folder, or of a file, in the order in which they were written.

    A line that is no finding is left out, and the log says so.
    """
    return json_lines.records(file(place), parsed, what="finding")


def latest(findings: Sequence[Finding]) -> list[Finding]:
    """Of findings of one measure, model and data set the last one, in order of first appearance."""
    last = {(f.measure, f.model, f.step, f.branch, f.data, f.other): f for f in findings}
    return list(last.values())


def rounded(values: Any) -> Any:
    """Numbers, arrays and lists of them as JSON has them, with the digits that float32 has."""
    if isinstance(values, Mapping):
        return {str(key): rounded(value) for key, value in values.items()}
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [rounded(value) for value in values]
    return float(f"{values:.{DIGITS}g}") if isinstance(values, float) else values


def _picture_name(picture: Picture) -> str:
    image = pictures.as_uint8(picture.image)
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    return f"{digest[:16]}.png"


def _line(finding: Finding) -> str:
    """One line of JSON, of a finding that can be drawn."""
    if finding.form not in FORMS:
        raise ValueError(f"form is '{finding.form}', expected one of {', '.join(FORMS)}")
    values = rounded(finding.values)
    if not all(math.isfinite(number) for number in _numbers(values)):
        raise ValueError(f"{finding.measure} has a number that is not finite")
    return json.dumps(finding._replace(values=values)._asdict(), allow_nan=False)


def _numbers(values: Any) -> list[float]:
    if isinstance(values, Mapping | list):
        parts = values.values() if isinstance(values, Mapping) else values
        return [number for part in parts for number in _numbers(part)]
    return [values] if isinstance(values, int | float) else []


def parsed(line: str) -> Finding:
    """The finding of one line.

    Raises:
      ValueError: it is none.
    """
    fields = jsonfile.parse(line)
    needed = set(Finding._fields) - set(Finding._field_defaults)
    if not isinstance(fields, dict) or not needed <= fields.keys() <= set(Finding._fields):
        raise ValueError(f"expected an object with {', '.join(Finding._fields)}")
    kinds = {name: Mapping for name in ("values", "labels", "protocol", "counts", "versions")}
    kinds |= {"step": int, "image": int, "pictures": list}
    for name, value in fields.items():
        if not isinstance(value, kinds.get(name, str)):
            raise ValueError(f"{name} is {value!r}")
    # A name is a file of the folder, and nothing that leads out of it.
    fields["pictures"] = [tuple(pair) for pair in fields.get("pictures", ())]
    if not all(len(pair) == 2 and PICTURE.fullmatch(str(pair[1])) for pair in fields["pictures"]):
        raise ValueError("a picture is no caption and a name")
    finding = Finding(**fields)
    _line(finding)
    return finding
